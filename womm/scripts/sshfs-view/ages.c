/* What is believed of a node, and which times are shown: all of it decided by when it was asked for. */
#include "view.h"

/* Seconds after which a directory's time is certainly over, whoever's clock is wrong. */
enum { LONG_AGO = 86400 };
/* How long an answer of ganesha's about a directory may take; for how long it is given each entry to ask for. Microseconds. */
enum { GRACE = 1000000, EACH = 500 };

void show(struct node *node)
{
    struct timespec *shown = &node->shown;
    if (node->time > shown->tv_sec) {
        *shown = (struct timespec) { .tv_sec = node->time };
    } else if (++shown->tv_nsec == 1000000000) {
        *shown = (struct timespec) { .tv_sec = shown->tv_sec + 1 };
    }
    node->grown = now();
}

int64_t pace(const struct node *node)
{
    int64_t time = node && node->listing ? (int64_t) node->listing->count * EACH : 0;
    return time > hold ? time : hold;
}

/* due_at NODE: when it may be shown that others have changed it. Who lists it has ganesha ask for all its entries again; while
 * it changes all the time, he shall come to an end. */
static int64_t due_at(const struct node *node)
{
    return node->due ? node->due + pace(node) : 0;
}

bool due(struct node *node)
{
    if (now() < due_at(node))
        return false;
    node->due = now();
    return true;
}

bool unsettled(const struct node *node, int64_t asked)
{
    return !node->known || (asked - node->time_seen <= TICK && time(NULL) - node->time < LONG_AGO);
}

bool pends(const struct node *node, const struct stat *st)
{
    return node->known && (node->time != st->st_mtim.tv_sec || node->hasty || node->lacking);
}

/* tell_directory NODE: it was found with the attributes that it has now. */
static void tell_directory(struct node *node)
{
    time_t found = node->st.st_mtim.tv_sec;
    if (!node->known) {
        node->known = true;
        /* Set from here, or known by another path before: that it was to grow is not known any more. Once more, then. */
        node->time = node->listing || forgotten ? NEVER : found;
        node->time_seen = now();
        node->shown = (struct timespec) { .tv_sec = found };
    } else if (node->time != found && due(node)) {
        node->time = found;
        node->time_seen = now();
        node->hasty = node->lacking = false;
        /* The listing is of before. */
        node->listed = 0;
        show(node);
    } else if (node->time == found && (node->hasty || node->lacking) && node->at - node->time_seen > TICK && due(node)) {
        node->hasty = node->lacking = false;
        node->listed = 0;
        show(node);
    }
    /* What could not be shown yet is to be, as soon as it may. */
    if (node->time != found && node->at > due_at(node) - hold)
        node->at = due_at(node) - hold;
}

void dress(const struct node *node, struct stat *st)
{
    /* Two changes of a file within a second differ in this alone. */
    if (!S_ISDIR(st->st_mode))
        st->st_ctim.tv_nsec = node->version;
    else if (node->known)
        st->st_mtim = st->st_ctim = node->shown;
}

void learn(struct node *node, const struct stat *st, int64_t asked)
{
    if (!node || node->changing || node->changed >= asked || node->at > asked)
        return;
    node->at = asked;
    node->there = st != NULL;
    if (!st)
        return;
    node->seen = now();
    node->missed = 0;
    node->removed = false;
    node->st = *st;
    if (S_ISDIR(st->st_mode))
        tell_directory(node);
    dress(node, &node->st);
}

/* As long as its directory's time has not grown, ganesha lists it; that it is not there would be the end of the listing, for
 * whoever asked for it. */
bool lingers(struct node *node, struct node *parent)
{
    if (!node || !node->there || node->removed || !parent || !parent->known)
        return false;
    if (node->seen <= forgotten || node->seen <= parent->born)
        return false;
    if (!node->missed)
        node->missed = now();
    if (parent->grown <= node->seen)
        parent->time = NEVER;
    else if (!parent->readers && now() - node->missed > GRACE)
        return false;
    node->at = now();
    return true;
}
