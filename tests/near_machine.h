/* A machine as hwloc may read it (HWLOC_XMLFILE): two packages of one core, and GPUs ffff:00 and 02 beside the
 * second, 01 and 03 beside the first, where the mock's devices 0 to 3 are. */
#ifndef TESTS_NEAR_MACHINE_H
#define TESTS_NEAR_MACHINE_H
#include <stdio.h>

#define NEAR_CPUS(set)                                                                             \
    " cpuset=\"" set "\" complete_cpuset=\"" set "\" nodeset=\"0x1\" complete_nodeset=\"0x1\""

static inline void near_gpu(FILE *f, int bus)
{
    fprintf(f,
            "<object type=\"PCIDev\" gp_index=\"%d\" pci_busid=\"ffff:%02x:00.0\" "
            "pci_type=\"0302 [10de:2330] [10de:16c1] a1\" pci_link_speed=\"31.5\"/>\n",
            20 + bus, bus);
}

static inline void near_package(FILE *f, int package, const char *cpus)
{
    fprintf(f, "<object type=\"Package\" os_index=\"%d\" gp_index=\"%d\"%s>\n", package,
            3 + package, cpus);
    fprintf(f, "<object type=\"PU\" os_index=\"%d\" gp_index=\"%d\"%s/>\n", package, 5 + package,
            cpus);
    fprintf(f,
            "<object type=\"Bridge\" gp_index=\"%d\" bridge_type=\"0-1\" depth=\"0\" "
            "bridge_pci=\"ffff:[%02x-%02x]\">\n",
            10 + package, 0, 9);
    near_gpu(f, 1 - package);
    near_gpu(f, 3 - package);
    fputs("</object></object>\n", f);
}

/* @return whether the file could be written. */
static inline int near_machine(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return 0;
    fputs("<?xml version=\"1.0\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
          "<topology version=\"2.0\">\n<object type=\"Machine\" os_index=\"0\" gp_index=\"1\"",
          f);
    fputs(NEAR_CPUS("0x3") " allowed_cpuset=\"0x3\" allowed_nodeset=\"0x1\">\n", f);
    fputs("<object type=\"NUMANode\" os_index=\"0\" gp_index=\"2\"", f);
    fputs(NEAR_CPUS("0x3") " local_memory=\"1048576\"/>\n", f);
    near_package(f, 0, NEAR_CPUS("0x1"));
    near_package(f, 1, NEAR_CPUS("0x2"));
    fputs("</object></topology>\n", f);
    return fclose(f) == 0;
}
#endif
