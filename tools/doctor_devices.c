/* The accelerators that have numbers: how many there are, and what they are. */
#include "doctor.h"

#include "core/error.h"
#include "device/device.h"

#include <stdio.h>

static void look_at(doctor *d, const weft_device_ops *ops, int n)
{
    char size[WEFT__SIZE_TEXT];
    weft_device_facts facts = {.bytes = 0}, first = {.bytes = 0};
    for (int i = 0; i < n; i++) {
        if (ops->facts(i, &facts)) {
            doctor_say(d, DOCTOR_BAD, "devices", "mend it, or leave it out of CUDA_VISIBLE_DEVICES",
                       "%s", weft__why());
            continue;
        }
        first = i ? first : facts;
        if (ops != &weft__mock_device)
            doctor_say(d, DOCTOR_OK, "devices", NULL, "%s %d: %s, %s", ops->name, i, facts.name,
                       weft__size_text((double)facts.bytes, size));
    }
    if (ops == &weft__mock_device)
        doctor_say(d, DOCTOR_OK, "devices", NULL, "mock 0 to %d: %s, %s each", n - 1, first.name,
                   weft__size_text((double)first.bytes, size));
}

/* A machine without GPUs is a good machine. */
void doctor_devices(doctor *d)
{
    static const char *const name[] = {"cuda", "mock"};
    for (int i = 0; i < 2; i++) {
        const weft_device_ops *ops;
        int n = 0;
        if (weft__device_find(name[i], &ops) || ops->count(&n))
            doctor_say(d, DOCTOR_OK, "devices", NULL, "no %s: %s", name[i], weft__why());
        else
            look_at(d, ops, n);
    }
}
