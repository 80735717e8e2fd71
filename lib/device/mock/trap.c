/* Says what happened when the host touches memory of a mock device, on the way to whatever the signal
 * did before. */
#include "device/mock/mock.h"

#include "core/process.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Only what a signal handler may call: the text was made before. */
static void touched(int number, siginfo_t *info, void *context)
{
    const weft__process_facts *p = &weft__process;
    const uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;
    for (int i = 0; i < WEFT__TRAPS; i++)
        if (p->trap[i].bytes && at - p->trap[i].at < p->trap[i].bytes)
            if (write(STDERR_FILENO, p->trap[i].text, p->trap[i].length) < 0)
                break;
    sigaction(number, &p->before_traps, NULL); /* and the access comes again */
}

void weft__mock_trap(const weft__mock *m)
{
    weft__process_facts *p = &weft__process;
    struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int free_one = 0;
    weft__process_lock();
    while (free_one < WEFT__TRAPS && p->trap[free_one].bytes)
        free_one++;
    if (free_one < WEFT__TRAPS) {
        int n = snprintf(p->trap[free_one].text, sizeof p->trap[free_one].text,
                         "weft: the host touched memory of device mock %d, which only kernels "
                         "reach; use weft_copy_out, weft_item, or weft_op_host in an op\n",
                         m->index);
        p->trap[free_one].length = (size_t)n;
        p->trap[free_one].at = m->base;
        p->trap[free_one].bytes = m->size;
        if (p->traps++ == 0) {
            sigemptyset(&action.sa_mask);
            sigaction(SIGSEGV, &action, &p->before_traps);
        }
    }
    weft__process_unlock();
}

void weft__mock_untrap(const weft__mock *m)
{
    weft__process_facts *p = &weft__process;
    struct sigaction now;
    weft__process_lock();
    for (int i = 0; i < WEFT__TRAPS; i++)
        if (p->trap[i].bytes && p->trap[i].at == m->base) {
            p->trap[i].bytes = 0;
            p->traps--;
        }
    if (p->traps == 0 && !sigaction(SIGSEGV, NULL, &now) && now.sa_sigaction == touched)
        sigaction(SIGSEGV, &p->before_traps, NULL);
    weft__process_unlock();
}
