/* Checkpoints on one rank: round trips, what fits, what is kept. */
#include "checkpoint_fixture.h"

#include <sys/file.h>

START_TEST(everything_comes_back)
{
    struct program *a = program(1), *b = program(2);
    int64_t step = 77;
    ck_assert_int_eq(resume(b, &step), WEFT_OK);
    ck_assert_int_eq(step, -1);
    ck_assert_msg(save(a, 12) == WEFT_OK, "%s", weft__why());
    ck_assert_msg(resume(b, &step) == WEFT_OK, "%s", weft__why());
    ck_assert_int_eq(step, 12);
    ck_assert(equal(b, a));
    drop(b);
    b = program(3);
    weft__checkpoint c = handle(b);
    step = 0;
    ck_assert_msg(weft__checkpoint_load(&c, at(12, "../latest"), &step) == WEFT_OK, "%s",
                  weft__why());
    ck_assert_int_eq(step, 12);
    ck_assert(equal(b, a));
    ck_assert_str_eq(warned, "");
    drop(a);
    drop(b);
}
END_TEST

START_TEST(a_layout_is_used_again)
{
    struct program *a = program(1), *b = program(2);
    weft__checkpoint c = handle(a);
    int64_t step;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_OK);
    struct weft__layout *first = c.layout;
    a->big[5] = 3;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 2), WEFT_OK);
    ck_assert_ptr_eq(c.layout, first);
    ck_assert_int_eq(resume(b, &step), WEFT_OK);
    ck_assert(step == 2 && equal(b, a));
    weft__checkpoint_free(&c);
    drop(a);
    drop(b);
}
END_TEST

START_TEST(what_does_not_fit_is_named)
{
    static const char *const expected[] = {
        "its \"best\" is not in the program", "\"model/w\" is f32 (5, 7, 3) in it, f32 (5, 21, 1)",
        "the program's \"bset\" is not in it (nearest: \"best\")", "\"values\" has 7 values",
        "\"text\" has 12 bytes"};
    struct program *a = program(1), *b = program(2), *same = program(2);
    int64_t step = 5;
    ck_assert(save(a, 1) == WEFT_OK && save(a, 2) == WEFT_OK);
    for (int i = 0; i < COUNT(expected); i++) {
        b->items = i + 1;
        ck_assert_int_eq(resume(b, &step), WEFT_ECONFIG);
        ck_assert_msg(strstr(weft__why(), expected[i]) != NULL, "%s: %s", expected[i], weft__why());
        b->items = 0;
        ck_assert(step == 5 && equal(b, same));
    }
    drop(a);
    drop(b);
    drop(same);
}
END_TEST

/* A state that hands out copies, and takes them back only if they are what it has already. */
struct copied {
    int64_t rows, changed;
    char name[16];
};

static weft_status copied_state(void *self, weft_visitor *v)
{
    struct copied *p = self;
    int64_t rows = p->rows;
    char name[16];
    strcpy(name, p->name);
    const weft_state_item item[] = {{.name = "rows",
                                     .kind = WEFT_STATE_I64,
                                     .placement = WEFT_ROOT,
                                     .values = &rows,
                                     .count = 1,
                                     .scratch = true},
                                    {.name = "name",
                                     .kind = WEFT_STATE_TEXT,
                                     .placement = WEFT_PER_RANK,
                                     .text = name,
                                     .capacity = sizeof name,
                                     .scratch = true}};
    WEFT_TRY(weft_state_i64(v, "changed", &p->changed));
    for (int i = 0; i < 2; i++)
        WEFT_TRY(v->item(v, &item[i]));
    if (rows == p->rows && strcmp(name, p->name) == 0)
        return WEFT_OK;
    return weft__fail(WEFT_ECONFIG, "%lld rows of %s", (long long)rows, name);
}

static weft_status resume_copied(struct copied *p)
{
    weft__checkpoint c = handle((void *)p);
    int64_t step;
    c.state = copied_state;
    return weft__checkpoint_resume(&c, dir, &step);
}

START_TEST(a_copy_is_compared_before_anything_changes)
{
    struct copied a = {.rows = 2000, .changed = 1, .name = "digits"}, b = a;
    weft__checkpoint c = handle((void *)&a);
    c.state = copied_state;
    ck_assert_msg(weft__checkpoint_save(&c, dir, 1) == WEFT_OK, "%s", weft__why());
    weft__checkpoint_free(&c);
    b.rows = 1999;
    b.changed = 2;
    ck_assert_int_eq(resume_copied(&b), WEFT_ECONFIG);
    ck_assert_str_eq(weft__why(), "2000 rows of digits");
    ck_assert(b.rows == 1999 && b.changed == 2);
    b.rows = 2000;
    strcpy(b.name, "clothes");
    ck_assert_int_eq(resume_copied(&b), WEFT_ECONFIG);
    ck_assert_int_eq(b.changed, 2);
    strcpy(b.name, "digits");
    ck_assert_int_eq(resume_copied(&b), WEFT_OK);
    ck_assert_int_eq(b.changed, 1);
}
END_TEST

START_TEST(a_step_is_saved_once)
{
    struct program *a = program(1), *b = program(2);
    struct stat before, after;
    int64_t step;
    ck_assert_int_eq(save(a, 3), WEFT_OK);
    stat(at(3, "MANIFEST"), &before);
    ck_assert_int_eq(save(b, 3), WEFT_OK);
    stat(at(3, "MANIFEST"), &after);
    ck_assert(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    flip(at(3, "MANIFEST"), 9);
    ck_assert_int_eq(save(b, 3), WEFT_OK);
    ck_assert_ptr_nonnull(strstr(warned, "is now step-000003.bad-"));
    ck_assert_int_eq(named(".bad-"), 1);
    ck_assert(resume(a, &step) == WEFT_OK && step == 3 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(old_ones_go_and_foreign_ones_stay)
{
    struct program *a = program(1);
    char link[16] = "", path[200];
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(save(a, i), WEFT_OK);
        if (i == 0)
            close(open(at(0, "notes.txt"), O_CREAT | O_WRONLY, 0600));
        if (i == 1) {
            snprintf(path, sizeof path, "%s/step-000009.tmp-0123456789abcdef", dir);
            ck_assert_int_eq(mkdir(path, 0700), 0);
            close(open(strcat(path, "/MANIFEST"), O_CREAT | O_WRONLY, 0600));
            snprintf(path, sizeof path, "%s/step-old.tmp-x", dir);
            ck_assert_int_eq(mkdir(path, 0700), 0);
        }
    }
    ck_assert(exists(at(0, "notes.txt")) && exists(at(0, "MANIFEST")));
    ck_assert(!exists(at(1, ".")) && !exists(at(2, ".")) && exists(at(3, ".")) &&
              exists(at(4, ".")));
    ck_assert(named("step-0") == 3 && named(".tmp-") == 1);
    ck_assert_ptr_nonnull(strstr(warned, "step-000000 is old but cannot be removed"));
    ck_assert_int_eq(readlink(at(4, "../latest"), link, sizeof link - 1), 11);
    ck_assert_str_eq(link, "step-000004");
    /* Going on from an older step never takes what was just saved. */
    ck_assert_int_eq(save(a, 2), WEFT_OK);
    ck_assert(exists(at(2, "MANIFEST")) && exists(at(4, "MANIFEST")));
    drop(a);
}
END_TEST

START_TEST(damaged_ones_do_not_count_as_kept)
{
    struct program *a = program(1);
    ck_assert(save(a, 1) == WEFT_OK && save(a, 2) == WEFT_OK);
    flip(at(2, "MANIFEST"), 50);
    ck_assert_int_eq(save(a, 3), WEFT_OK);
    ck_assert(exists(at(1, "MANIFEST")));
    drop(a);
}
END_TEST

START_TEST(one_save_at_a_time)
{
    struct program *a = program(1);
    char path[200];
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    snprintf(path, sizeof path, "%s/step-000002.tmp-0123456789abcdef", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(save(a, 3), WEFT_EIO);
    ck_assert_ptr_nonnull(strstr(weft__why(), "another process is saving there"));
    ck_assert(exists(path) && named("step-") == 2);
    close(fd);
    ck_assert_int_eq(save(a, 3), WEFT_OK);
    ck_assert(!exists(path) && named("step-") == 2);
    drop(a);
}
END_TEST

static weft_status bad_state(void *self, weft_visitor *v)
{
    int64_t x = 0;
    return weft_state_i64(v, self, &x);
}

START_TEST(bad_names_are_refused)
{
    static const char *const name[] = {"", "a//b", "/a", "a/", ".", "..", "a/../b", "a\n", "\xff"};
    for (int i = 0; i < COUNT(name); i++) {
        weft__checkpoint c = handle((void *)name[i]);
        c.state = bad_state;
        ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_EARG);
    }
    const char *fine = "a.b/..c/d e";
    weft__checkpoint c = handle((void *)fine);
    c.state = bad_state;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_OK);
    weft__checkpoint_free(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {everything_comes_back,
                                  a_layout_is_used_again,
                                  what_does_not_fit_is_named,
                                  a_copy_is_compared_before_anything_changes,
                                  a_step_is_saved_once,
                                  old_ones_go_and_foreign_ones_stay,
                                  damaged_ones_do_not_count_as_kept,
                                  one_save_at_a_time,
                                  bad_names_are_refused};
    return run("checkpoint", tests, COUNT(tests));
}
