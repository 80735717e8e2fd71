/* The heartbeat's judgement on ranks that are made up, its memory, and processes that die in it. */
#include "comm/heartbeat_self.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANKS 4

/* Four ranks on two nodes, all after collective 7 "b" of step 3, heard just now, seen by rank 0. */
static weft__seen seen[RANKS];
static weft__roll roll;
static char text[WEFT__TEXT];

static void begin(weft__progress *p, uint64_t sequence, const char *name)
{
    p->sequence = sequence;
    p->history[sequence % WEFT__HISTORY] = weft__heartbeat_hash(name);
    snprintf(p->name, sizeof p->name, "%.39s", name);
}

static void wait_in(int rank, uint64_t sequence, const char *name, double seconds)
{
    begin(&seen[rank].at, sequence, name);
    seen[rank].at.waiting = 1;
    seen[rank].waits = seconds;
}

static void setup(void)
{
    memset(seen, 0, sizeof seen);
    roll = (weft__roll){
        .rank = 0, .world = RANKS, .clock = 100, .limit = 6.5, .slow = 3, .seen = seen};
    for (int k = 0; k < RANKS; k++) {
        seen[k] = (weft__seen){.node = k / 2, .local = k % 2, .known = true, .state = '?'};
        seen[k].watched = k != 3;
        seen[k].heard = 100;
        snprintf(seen[k].host, sizeof seen[k].host, "node%d", k / 2);
        begin(&seen[k].at, 6, "a");
        begin(&seen[k].at, 7, "b");
        seen[k].at.step = 3;
    }
}

static bool lost(const char *said)
{
    bool is = weft__heartbeat_judge(&roll, text);
    return said ? is && strstr(text, said) : is;
}

static bool slow(const char *said)
{
    bool is = weft__heartbeat_slow(&roll, true, 0, text);
    return said ? is && strstr(text, said) : is;
}

START_TEST(nothing_wrong)
{
    ck_assert(!lost(NULL) && !slow(NULL));
    for (int k = 0; k < RANKS; k++)
        wait_in(k, 8, "c", 1000); /* all of them: the network is slow */
    ck_assert(!lost(NULL) && !slow(NULL));
}
END_TEST

START_TEST(dead)
{
    seen[2].dead = true;
    wait_in(2, 8, "c", 1);
    ck_assert(lost("rank 2 on node1 was lost: its process has ended"));
    ck_assert(strstr(text, "in collective 8 \"c\" at step 3"));
    seen[2].dead = false;
    seen[3].at.gone = 1;
    seen[3].left = 98;
    ck_assert(!lost(NULL));
    seen[3].left = 96;
    ck_assert(lost("rank 3 on node1 has given up"));
    ck_assert(strstr(text, "after collective 7 \"b\" at step 3"));
}
END_TEST

START_TEST(silent)
{
    seen[1].heard = 94;
    ck_assert(!lost(NULL));
    seen[1].heard = 93.4;
    ck_assert(lost("rank 1 on node0 was lost: nothing was heard of it for 6.6 s"));
    seen[1].state = 'T';
    ck_assert(lost("rank 1 on node0 is stopped, and has been for 6.6 s, after collective 7"));
    seen[1].state = 't';
    ck_assert(lost("stopped by a debugger"));
    seen[1].state = 'R'; /* starved */
    ck_assert(!lost(NULL));
    seen[1].heard = 80;
    ck_assert(lost("rank 1 on node0"));
}
END_TEST

START_TEST(silent_far)
{
    seen[2].heard = 93;
    ck_assert(!lost(NULL)); /* its own node would know more */
    seen[2].heard = 92.5;
    ck_assert(lost("rank 2 on node1"));
    seen[2].heard = 100;
    seen[3].heard = 0; /* is judged on its own node */
    ck_assert(!lost(NULL));
    seen[2].heard = 0;
    seen[2].watched = seen[2].known = false; /* was never heard: a firewall, no loss */
    ck_assert(!lost(NULL));
    seen[0].heard = 0; /* this rank itself */
    ck_assert(!lost(NULL));
}
END_TEST

START_TEST(other_ways)
{
    for (int k = 0; k < RANKS; k++)
        wait_in(k, 8, k == 2 ? "x" : "c", 2.9);
    ck_assert(!lost(NULL));
    seen[0].waits = seen[1].waits = 3.1;
    ck_assert(lost("rank 2 on node1 went another way: it is in collective 8 \"x\" at step 3, while "
                   "rank 0 on node0 is in collective 8 \"c\""));
    /* the others' calls met, by mischance, and they have gone on */
    for (int k = 0; k < RANKS; k++)
        if (k != 2)
            wait_in(k, 9, "d", 1);
    seen[2].waits = 3.1;
    ck_assert(lost("rank 2 on node1 went another way: it is in collective 8 \"x\""));
    /* too long ago to tell */
    for (int k = 0; k < RANKS; k++)
        if (k != 2)
            wait_in(k, 8 + WEFT__HISTORY, "d", 1);
    ck_assert(!lost(NULL));
}
END_TEST

START_TEST(late)
{
    wait_in(1, 8, "c", 3.1);
    wait_in(3, 8, "c", 1);
    begin(&seen[0].at, 8, "c"); /* was there and is through */
    ck_assert(!lost(NULL));
    ck_assert(slow("rank 2 on node1 is slow: rank 1 has waited for it for 3.1 s in collective 8 "
                   "\"c\"; it is after collective 7 \"b\" at step 3"));
    ck_assert(!slow(NULL));
    roll.clock += 60; /* not again so soon */
    for (int k = 0; k < RANKS; k++)
        seen[k].heard = roll.clock;
    ck_assert(!slow(NULL));
    roll.clock += 6;
    for (int k = 0; k < RANKS; k++)
        seen[k].heard = roll.clock;
    ck_assert(slow("rank 2"));
    ck_assert(!lost(NULL)); /* however long it takes */
}
END_TEST

START_TEST(silent_is_slow_first)
{
    seen[2].heard = 96;
    ck_assert(!lost(NULL));
    ck_assert(slow("rank 2 on node1 is slow: nothing was heard of it for 4.0 s"));
    /* who speaks for rank 0 only */
    seen[2].named = 0;
    ck_assert(!weft__heartbeat_slow(&roll, false, -1, text));
    roll.rank = 1;
    seen[0].heard = 96;
    ck_assert(!weft__heartbeat_slow(&roll, false, -1, text));
    ck_assert(weft__heartbeat_slow(&roll, false, 0, text) && strstr(text, "rank 0 on node0"));
}
END_TEST

START_TEST(firewall)
{
    seen[2].known = seen[2].watched = seen[3].known = false;
    ck_assert(slow("no heartbeat comes from rank 2 on node1 (and 0 other nodes)"));
    roll.clock += 1000;
    seen[1].heard = roll.clock;
    ck_assert(!slow(NULL) && !lost(NULL));
}
END_TEST

/* ---- the node's memory ---- */

static weft__node *node, *again;
static char name[64];

static void open_node(void)
{
    ck_assert(!weft__node_create(2, name, &node));
    ck_assert(!weft__node_attach(2, name, &again));
}

static void close_node(void)
{
    weft__node_unlink(name);
    weft__node_detach(again, 2);
    weft__node_detach(node, 2);
}

START_TEST(memory)
{
    weft__node *other;
    weft__progress p = {0}, q;
    open_node();
    begin(&p, 5, "a name that is longer than there is room for in a cell");
    weft__cell_write(&node->cell[1], &p);
    ck_assert(weft__cell_read(&again->cell[1], &q) && memcmp(&p, &q, sizeof p) == 0);
    atomic_fetch_add(&node->cell[1].version, 1); /* its writer was stopped half way */
    ck_assert(!weft__cell_read(&again->cell[1], &q));
    ck_assert_int_eq(weft__node_attach(3, name, &other), WEFT_EIO); /* another size */
    ck_assert_int_eq(weft__node_attach(2, "/weft-heartbeat-none", &other), WEFT_EIO);
    ck_assert_ptr_nonnull(strstr(weft__why(), "share /dev/shm"));
    close_node();
    ck_assert_int_eq(weft__node_attach(2, name, &other), WEFT_EIO);
}
END_TEST

/* A child that holds its cell; it ends as asked. */
static pid_t hold(int how)
{
    int ready[2];
    char c;
    ck_assert(!pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(&again->cell[1].alive);
        if (how == 0)
            pthread_mutex_unlock(&again->cell[1].alive);
        if (write(ready[1], "x", 1) != 1 || how)
            raise(how);
        pause();
        _exit(0);
    }
    ck_assert(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

START_TEST(death)
{
    int status;
    open_node();
    pid_t pid = hold(SIGSTOP);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(!weft__cell_dead(&node->cell[1]));
    ck_assert_int_eq(weft__process_state((int)pid), 'T');
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(weft__cell_dead(&node->cell[1]) && weft__cell_dead(&node->cell[1]));
    ck_assert(!weft__cell_dead(&node->cell[0])); /* never held */
    ck_assert_int_eq(weft__process_state((int)pid), '?');
    close_node();
    open_node();
    pid = hold(0); /* has let go: its fabric was closed */
    ck_assert(!weft__cell_dead(&node->cell[1]));
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(!weft__cell_dead(&node->cell[1]));
    close_node();
}
END_TEST

/* Not reaped yet: dead all the same. */
START_TEST(zombie)
{
    open_node();
    pid_t pid = hold(SIGKILL);
    siginfo_t info;
    ck_assert(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    ck_assert_int_eq(weft__process_state((int)pid), 'Z');
    ck_assert(weft__cell_dead(&node->cell[1]));
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    close_node();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nothing_wrong,        dead,     silent, silent_far, other_ways, late,
        silent_is_slow_first, firewall, memory, death,      zombie};
    Suite *s = suite_create("judge");
    TCase *t = tcase_create("judge");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, NULL);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(t, tests[i]);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
