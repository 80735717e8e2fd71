/* The heartbeat's judgement on ranks that are made up, its memory, and processes that die in it. */
#include "comm/heartbeat_self.h"
#include "core/hash.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    p->history[sequence % WEFT__HISTORY] = (uint32_t)weft__hash_text(WEFT__HASH, name);
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

/* ---- between nodes ---- */

/* Rank 0 and rank 1, alone on nodes of their own. */
static weft__heartbeat end[2];
static weft__seen known[2][2];
static weft__address peer[2][2];
static weft__node *memory_of[2];

static void open_ends(void)
{
    memset(known, 0, sizeof known);
    memset(peer, 0, sizeof peer);
    for (int r = 0; r < 2; r++) {
        weft__heartbeat *h = &end[r];
        ck_assert(!weft__node_create(1, name, &memory_of[r]));
        weft__node_unlink(name);
        *h = (weft__heartbeat){.node = memory_of[r], .net.peer = peer[r]};
        h->watch.node_rank = r;
        h->watch.nodes = 2;
        h->roll = (weft__roll){.rank = r, .world = 2, .clock = 50, .seen = known[r]};
        known[r][1].node = 1;
        known[r][r].beat = 1;
        begin(&known[r][r].at, 5 + (uint64_t)r, "a");
    }
    ck_assert(!weft__net_listen(&end[0].net.root, &end[0].net.fd));
    end[1].net.root = end[0].net.root;
    ck_assert(!weft__net_open(&end[1].net.root, &end[1].net.fd));
}

static void close_ends(void)
{
    for (int r = 0; r < 2; r++) {
        close(end[r].net.fd);
        weft__node_detach(memory_of[r], 1);
    }
}

static void hear(weft__heartbeat *h)
{
    usleep(20000);
    weft__net_hear(h);
}

START_TEST(there_and_back)
{
    open_ends();
    weft__net_tell(&end[0]); /* knows nobody yet */
    hear(&end[1]);
    ck_assert(!known[1][0].known);
    weft__net_tell(&end[1]);
    hear(&end[0]);
    ck_assert(known[0][1].known && known[0][1].watched && known[0][1].heard == 50);
    ck_assert(known[0][1].at.sequence == 6 && strcmp(known[0][1].at.name, "a") == 0);
    weft__net_tell(&end[0]);
    hear(&end[1]);
    ck_assert(known[1][0].known && known[1][0].at.sequence == 5 && peer[1][0].size);
    /* the same beat again says nothing new; one that was overtaken is dropped */
    end[0].roll.clock = 60;
    weft__net_tell(&end[1]);
    hear(&end[0]);
    ck_assert(known[0][1].heard == 50);
    known[0][1].beat = 9;
    known[1][1].at.sequence = 7;
    weft__net_tell(&end[1]);
    hear(&end[0]);
    ck_assert(known[0][1].at.sequence == 6 && known[0][1].beat == 9);
    weft__sticky_set(&memory_of[1]->verdict, WEFT_EPEER, "rank 7 is away");
    weft__net_tell_verdict(&end[1]);
    hear(&end[0]);
    ck_assert_str_eq(memory_of[0]->verdict.text, "rank 7 is away");
    close_ends();
}
END_TEST

/* What is not from this job, or of another size, or of ranks that are not on that node. */
START_TEST(strangers)
{
    unsigned char bytes[2000] = {0};
    open_ends();
    const weft__address *a = &end[0].net.root.address[0];
    memcpy(bytes, &end[0].net.root.key, sizeof end[0].net.root.key);
    for (size_t n = 0; n < sizeof bytes; n += 7) {
        bytes[8] = (unsigned char)(n % 3); /* node */
        bytes[12] = (unsigned char)(n / 3 % 11);
        for (size_t i = 16; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(n + i * 31);
        sendto(end[1].net.fd, bytes, n, 0, (const struct sockaddr *)&a->at, a->size);
    }
    hear(&end[0]);
    ck_assert(!known[0][1].known && !weft__sticky_code(&memory_of[0]->verdict));
    end[1].net.root.key++;
    weft__net_tell(&end[1]);
    end[1].net.root.key--;
    end[1].watch.node_rank = known[1][1].node = 0;
    weft__net_tell(&end[1]);
    hear(&end[0]);
    ck_assert(!known[0][1].known && known[0][0].beat == 1);
    close_ends();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nothing_wrong, dead,   silent, silent_far, other_ways,     late,     silent_is_slow_first,
        firewall,      memory, death,  zombie,     there_and_back, strangers};
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
