/*
 * sshfs-view.so: what sshfs knows of the user's files, and for how long. LD_PRELOAD puts it between sshfs and libfuse; sshfs
 * runs with dir_cache=no then, and the kernel keeps next to nothing (attr_timeout, entry_timeout): this is the one place where
 * anything ages. Built where the NFS server's image is (Dockerfile.nfs).
 *
 * Why sshfs's own cache won't do behind nfs-ganesha:
 * - sshfs up to 3.7.6 ends by an assertion when a directory is read from an offset (libfuse/sshfs #379), and ganesha does that
 *   whenever a directory has changed while somebody lists it. Here offsets come of the names: they stay, whatever comes and goes.
 * - Where attributes have aged, ganesha asks for those of each file by itself, with an open before: two requests a file, one
 *   file after the other, and on a line of 40 ms a listing of 2,000 took 88 s. Here a few such questions have the whole directory
 *   read, which brings all attributes in some four round trips; and a file is opened there when its first byte is read.
 * - With noforget, libfuse up to 3.18 ends by an assertion (libfuse/libfuse #589) when something is renamed to a name that was
 *   known, and that others have deleted. Here the kernel's word that it has forgotten a name is not passed on.
 * - SFTP tells times in seconds, and ganesha reads a directory anew only if its time has grown: a file made in the second of
 *   the last listing, or in a directory whose time was set back, was never seen. Here a directory's time grows, by nanoseconds,
 *   whenever it has changed.
 *
 * Environment: WOMM_VIEW_MS, milliseconds for which an answer counts; `proof`: print `sshfs-view` where sshfs would begin.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Questions about entries of a directory after which it is read as a whole; one more for so many entries that it had. */
enum { FEW = 3, MANY = 1000 };
/* Buckets of the table; nodes at which those that have aged are thrown away. */
enum { BUCKETS = 1 << 16, CROWD = 200000 };
/* Times are microseconds. How long a directory may change again without its time's changing; how long an answer of ganesha's about
 * one may take; for how long it is given each entry to ask for. */
enum { TICK = 1000000, GRACE = 1000000, EACH = 500 };
/* Seconds after which a directory's time is certainly over, whoever's clock is wrong. */
enum { LONG_AGO = 86400 };
/* A time that no directory has: it will have another one when it is looked at. */
#define NEVER ((time_t) -1)

/* A directory's names, by offset. Whoever holds one counts. */
struct listing {
    int holders;
    size_t count, room;
    struct entry {
        off_t offset;
        mode_t mode;
        char *name;
    } *entries;
};

/* What is known of a path. Times are now()'s; 0: never. */
struct node {
    struct node *next;
    char *path;
    struct stat st;           /* of what is there, if `there` */
    bool there;
    int64_t at;               /* when that was asked for */
    int64_t seen;             /* when it was there, the last time */
    int64_t missed;           /* when it was first found not to be there since */
    int64_t changed;          /* when something was last done to it from here */
    int changing;             /* how many are doing so */
    long version;             /* of a file; another one after each time */
    bool linked;              /* it has another name that we have made */
    int64_t born;             /* of a directory: when we have made it */
    bool removed;             /* we have, since */
    bool refused;             /* it could not be opened for reading, the last time */
    bool kept;                /* somebody may be about to use this node */
    /* Of a directory: */
    bool known;               /* whether `time` and `shown` are set */
    time_t time;              /* its own */
    struct timespec shown;    /* what is shown for it */
    int64_t grown;            /* when that last grew */
    int64_t time_seen;        /* since when it is known to have `time` */
    int64_t due;              /* when that last grew because of others */
    bool hasty;               /* the listing was read when it might still change within the same second */
    struct listing *listing;
    int64_t listed;           /* when that was asked for */
    bool reading;             /* somebody does */
    int readers;              /* how many are reading it */
    int64_t asked_since;      /* when the first of `asked` questions about entries was asked */
    size_t asked;
};

/* An open directory; its names, once they are read. */
struct directory {
    char *path;
    struct listing *listing;
};

/* An open file. */
struct file {
    pthread_mutex_t lock;
    bool open;                /* there, too; then: */
    struct fuse_file_info real;
};

static struct fuse_operations real;
static int64_t hold = 1000000;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t read_out = PTHREAD_COND_INITIALIZER;
static struct node *table[BUCKETS];
static size_t nodes;
/* What was asked for until then counts no more. */
static int64_t forgotten;

/* now: microseconds since some moment; never 0. */
static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000 + 1;
}

/* hash TEXT: FNV-1a, of LENGTH bytes. */
static uint64_t hash(const char *text, size_t length)
{
    uint64_t h = 14695981039346656037u;
    while (length--)
        h = (h ^ (unsigned char) *text++) * 1099511628211u;
    return h;
}

/* offset_of NAME: its place in a directory; positive, and none that NFS has a use of its own for. */
static off_t offset_of(const char *name)
{
    uint64_t h = hash(name, strlen(name));
    return (off_t) ((h ^ h >> 32) & 0x7fffffffffffff00) | 0x80;
}

/* --- Nodes. All of it with `lock` held. */

/* find PATH: its node, if there is one. PATH has LENGTH bytes, and may go on. */
static struct node *find(const char *path, size_t length)
{
    struct node *node = table[hash(path, length) % BUCKETS];
    while (node && (strncmp(node->path, path, length) || node->path[length]))
        node = node->next;
    return node;
}

/* counts NODE: whether what was asked of it still counts. */
static bool counts(const struct node *node)
{
    return node && !node->changing && node->at > forgotten && now() - node->at <= hold;
}

/* lists NODE: whether its listing still counts. */
static bool lists(const struct node *node)
{
    return node && node->listing && !node->changing && node->listed > forgotten && now() - node->listed <= hold;
}

static void let_go(struct listing *listing)
{
    if (!listing || --listing->holders)
        return;
    while (listing->count)
        free(listing->entries[--listing->count].name);
    free(listing->entries);
    free(listing);
}

/* have PATH: its node; NULL where there is no memory for it. */
static struct node *have(const char *path, size_t length)
{
    struct node *node = find(path, length);
    if (node)
        return node;
    node = calloc(1, sizeof *node);
    if (!node || !(node->path = strndup(path, length))) {
        free(node);
        return NULL;
    }
    struct node **bucket = &table[hash(path, length) % BUCKETS];
    node->next = *bucket;
    *bucket = node;
    nodes++;
    return node;
}

/* tidy: where there are many nodes, throw away those that have aged; nobody who holds one calls this. What a directory has
 * shown has to be remembered. */
static void tidy(void)
{
    static size_t crowd = CROWD;
    if (nodes < crowd)
        return;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        for (struct node **link = &table[bucket], *node = *link; node; node = *link) {
            bool used = node->changing || node->known || node->kept || node->linked;
            if (used || counts(node) || now() - node->changed <= hold) {
                link = &node->next;
                continue;
            }
            *link = node->next;
            free(node->path);
            free(node);
            nodes--;
        }
    }
    crowd = nodes + CROWD;
}

/* parent_length PATH: how much of it is its directory's path; 0 if it has none. */
static size_t parent_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1])
        return 0;
    return slash == path ? 1 : (size_t) (slash - path);
}

static struct node *parent_of(const char *path)
{
    size_t length = parent_length(path);
    return length ? have(path, length) : NULL;
}

/* show NODE: have a directory's time grow: it has changed. */
static void show(struct node *node)
{
    struct timespec *shown = &node->shown;
    if (node->time > shown->tv_sec) {
        *shown = (struct timespec) { .tv_sec = node->time };
    } else if (++shown->tv_nsec == 1000000000) {
        *shown = (struct timespec) { .tv_sec = shown->tv_sec + 1 };
    }
    node->grown = now();
}

/* due_at NODE: when it may be shown that others have changed it. Who lists it has ganesha ask for all its entries again; while
 * it changes all the time, he shall come to an end. */
static int64_t due_at(const struct node *node)
{
    int64_t pace = node->listing ? (int64_t) node->listing->count * EACH : 0;
    return node->due ? node->due + (pace > hold ? pace : hold) : 0;
}

/* due NODE: whether that is now. It is taken to be done. */
static bool due(struct node *node)
{
    if (now() < due_at(node))
        return false;
    node->due = now();
    return true;
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
        node->hasty = false;
        /* The listing is of before. */
        node->listed = 0;
        show(node);
    } else if (node->time == found && node->hasty && node->at - node->time_seen > TICK && due(node)) {
        node->hasty = false;
        node->listed = 0;
        show(node);
    }
    /* What could not be shown yet is to be, as soon as it may. */
    if (node->time != found && node->at > due_at(node) - hold)
        node->at = due_at(node) - hold;
}

/* dress NODE ST: give ST, NODE's attributes as they were found, the times that are shown. */
static void dress(const struct node *node, struct stat *st)
{
    /* Two changes of a file within a second differ in this alone. */
    if (!S_ISDIR(st->st_mode))
        st->st_ctim.tv_nsec = node->version;
    else if (node->known)
        st->st_mtim = st->st_ctim = node->shown;
}

/* learn NODE ST ASKED: when it was asked at ASKED it had the attributes ST; NULL: it was not there. Unless that is not true
 * any more. */
static void learn(struct node *node, const struct stat *st, int64_t asked)
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

/* lingers NODE PARENT: whether it is still said to be there when others have taken it away. As long as its directory's time has
 * not grown, ganesha lists it; that it is not there would be the end of the listing, for whoever asked for it. */
static bool lingers(struct node *node, struct node *parent)
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

/* entry_at LISTING OFFSET: the first entry with an offset of OFFSET or more. */
static size_t entry_at(const struct listing *listing, off_t offset)
{
    size_t low = 0, high = listing->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (listing->entries[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* names LISTING NAME: whether it is there. */
static bool names(const struct listing *listing, const char *name)
{
    for (size_t i = entry_at(listing, offset_of(name)); i < listing->count; i++) {
        if (!strcmp(listing->entries[i].name, name))
            return true;
        /* Two of one offset have their places one after the other. */
        if (listing->entries[i].offset > offset_of(name) + 0x7f)
            return false;
    }
    return false;
}

/* same ONE OTHER: whether two listings have the same names. */
static bool same(const struct listing *one, const struct listing *other)
{
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++)
        if (one->entries[i].offset != other->entries[i].offset)
            return false;
    return true;
}

/* --- Changes that are made from here */

/* touched PATH LENGTH BEGINS: something is done to it from here, or was; its NAMES change. With `lock` held. */
static void touched(const char *path, size_t length, bool begins, bool names)
{
    static long versions;
    struct node *node = length ? have(path, length) : NULL;
    if (!node)
        return;
    if (begins)
        node->removed = false;
    if (begins || node->changing)
        node->changing += begins ? 1 : -1;
    node->changed = now();
    node->at = node->listed = 0;
    if (begins)
        return;
    node->version = ++versions % 1000000000;
    if (node->linked)
        forgotten = now();
    /* Whoever has made a name sees it at once. */
    if (names && node->known)
        show(node);
}

/* touch PATH BEGINS: PATH is changed from here, or was. */
static void touch(const char *path, bool begins)
{
    pthread_mutex_lock(&lock);
    touched(path, strlen(path), begins, false);
    pthread_mutex_unlock(&lock);
}

/* touch_name PATH BEGINS: the same of a name and its directory. */
static void touch_name(const char *path, bool begins)
{
    pthread_mutex_lock(&lock);
    touched(path, strlen(path), begins, false);
    touched(path, parent_length(path), begins, true);
    pthread_mutex_unlock(&lock);
}

/* removed PATH: it is not there any more; we have done that. */
static void removed(const char *path)
{
    pthread_mutex_lock(&lock);
    struct node *node = find(path, strlen(path));
    if (node)
        node->removed = true;
    pthread_mutex_unlock(&lock);
}

/* changing(TOUCH, PATH, CALL): CALL changes PATH; a function's body. */
#define changing(touch, path, call) \
    touch(path, true);              \
    int result = call;              \
    touch(path, false);             \
    return result

/* --- Reading a directory */

struct filling {
    const char *path;
    int64_t asked;
    struct listing *listing;
    bool failed;              /* there was no memory */
};

/* join TO DIRECTORY NAME: have TO be the path of NAME in DIRECTORY; returns its length. TO has room for both and two more. */
static size_t join(char *to, const char *directory, const char *name)
{
    size_t length = strlen(directory);
    memcpy(to, directory, length + 1);
    if (!strcmp(name, "."))
        return length;
    if (length > 1)
        to[length++] = '/';
    strcpy(to + length, name);
    return length + strlen(name);
}

/* fill: sshfs tells of an entry. */
static int fill(void *to, const char *name, const struct stat *st, off_t offset, enum fuse_fill_dir_flags flags)
{
    (void) offset;
    (void) flags;
    struct filling *filling = to;
    struct listing *listing = filling->listing;
    if (listing->count == listing->room) {
        size_t room = listing->room ? 2 * listing->room : 64;
        void *more = realloc(listing->entries, room * sizeof *listing->entries);
        if (!more)
            return filling->failed = true;
        listing->entries = more;
        listing->room = room;
    }
    struct entry *entry = &listing->entries[listing->count];
    if (!(entry->name = strdup(name)))
        return filling->failed = true;
    entry->offset = offset_of(name);
    entry->mode = st ? st->st_mode : 0;
    listing->count++;
    if (!st || !strcmp(name, ".."))
        return 0;
    char path[strlen(filling->path) + strlen(name) + 2];
    size_t length = join(path, filling->path, name);
    pthread_mutex_lock(&lock);
    learn(have(path, length), st, filling->asked);
    pthread_mutex_unlock(&lock);
    return 0;
}

static int by_offset(const void *one, const void *other)
{
    const struct entry *a = one, *b = other;
    return a->offset != b->offset ? (a->offset > b->offset) - (a->offset < b->offset) : strcmp(a->name, b->name);
}

/* sort LISTING: by offsets, each of which is one entry's. */
static void sort(struct listing *listing)
{
    qsort(listing->entries, listing->count, sizeof *listing->entries, by_offset);
    for (size_t i = 1; i < listing->count; i++)
        if (listing->entries[i].offset <= listing->entries[i - 1].offset)
            listing->entries[i].offset = listing->entries[i - 1].offset + 1;
}

/* ask_names PATH FILLING: have sshfs read it. Returns 0, or what was wrong. */
static int ask_names(const char *path, struct filling *filling)
{
    struct fuse_file_info fi = { .flags = O_RDONLY | O_DIRECTORY };
    int result = real.opendir ? real.opendir(path, &fi) : 0;
    if (result)
        return result;
    result = real.readdir(path, filling, fill, 0, &fi, 0);
    if (real.releasedir)
        real.releasedir(path, &fi);
    return result;
}

/* read_names PATH LISTING: the names that PATH has, for who lets go of them; asked for now, unless the answer counts that there
 * is. Returns 0, or what was wrong. */
static int read_names(const char *path, struct listing **listing)
{
    pthread_mutex_lock(&lock);
    struct node *node = have(path, strlen(path));
    if (node)
        node->kept = true;
    while (node && node->reading && !lists(node))
        pthread_cond_wait(&read_out, &lock);
    if (lists(node)) {
        *listing = node->listing;
        node->listing->holders++;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    if (node)
        node->reading = true;
    pthread_mutex_unlock(&lock);
    struct filling filling = { path, now(), calloc(1, sizeof(struct listing)), false };
    int result = filling.listing ? ask_names(path, &filling) : -ENOMEM;
    /* sshfs would go on without the name. */
    if (filling.failed)
        result = -ENOMEM;
    if (!result)
        sort(filling.listing);
    pthread_mutex_lock(&lock);
    if (filling.listing)
        filling.listing->holders = 1;
    if (node) {
        node->reading = false;
        node->asked = 0;
        pthread_cond_broadcast(&read_out);
    }
    if (!result && node && (node->changing || node->changed >= filling.asked || node->grown >= filling.asked)) {
        /* It may be of before that: who takes it for what there is now shall look again. */
        node->time = NEVER;
    } else if (!result && node) {
        if (node->known && node->listing && !same(node->listing, filling.listing)) {
            if (due(node))
                show(node);
            else
                node->time = NEVER;
        }
        let_go(node->listing);
        node->listing = filling.listing;
        node->listing->holders++;
        node->listed = filling.asked;
        node->hasty = !node->known || (filling.asked - node->time_seen <= TICK && time(NULL) - node->time < LONG_AGO);
    }
    if (result)
        let_go(filling.listing);
    tidy();
    pthread_mutex_unlock(&lock);
    *listing = filling.listing;
    return result;
}

/* --- What libfuse asks for */

/* found NODE ST: what NODE says of it. Returns 0, or -ENOENT. With `lock` held. */
static int found(const struct node *node, struct stat *st)
{
    if (!node->there)
        return -ENOENT;
    *st = node->st;
    return 0;
}

/* answer PATH ST RESULT: whether something that counts is known of PATH; then ST or RESULT is set. With `lock` held. */
static bool answer(const char *path, struct stat *st, int *result)
{
    struct node *parent = parent_of(path), *node = find(path, strlen(path));
    if (!counts(node) || (parent && node->at <= parent->born)) {
        if (!lists(parent) || names(parent->listing, strrchr(path, '/') + 1))
            return false;
        /* It says nothing of what was seen or done since it was asked for. */
        if (node && (node->changing || node->changed >= parent->listed || node->seen > parent->listed))
            return false;
        if (!lingers(node, parent)) {
            *result = -ENOENT;
            return true;
        }
    }
    *result = found(node, st);
    return true;
}

/* often PATH: whether so many have asked for entries of its directory that it is better read as a whole. With `lock` held. */
static bool often(const char *path)
{
    struct node *parent = parent_of(path);
    if (!parent)
        return false;
    if (now() - parent->asked_since > hold) {
        parent->asked_since = now();
        parent->asked = 0;
    }
    return ++parent->asked > FEW + (parent->listing ? parent->listing->count / MANY : 0);
}

/* inner FI: what sshfs knows FI as; NULL if it doesn't. */
static struct fuse_file_info *inner(struct fuse_file_info *fi)
{
    struct file *file = fi ? (struct file *) (uintptr_t) fi->fh : NULL;
    if (!file)
        return NULL;
    pthread_mutex_lock(&file->lock);
    bool open = file->open;
    pthread_mutex_unlock(&file->lock);
    return open ? &file->real : NULL;
}

static int view_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    int result;
    pthread_mutex_lock(&lock);
    bool known = answer(path, st, &result);
    if (!known && often(path)) {
        size_t length = parent_length(path);
        char parent[length + 1];
        memcpy(parent, path, length);
        parent[length] = 0;
        pthread_mutex_unlock(&lock);
        struct listing *listing;
        bool read = !read_names(parent, &listing);
        pthread_mutex_lock(&lock);
        if (read) {
            let_go(listing);
            known = answer(path, st, &result);
        }
    }
    pthread_mutex_unlock(&lock);
    int64_t asked = now();
    if (!known)
        result = real.getattr(path, st, NULL);
    struct fuse_file_info *open = inner(fi);
    /* What is open, and has no name any more, is not what PATH is. */
    if (result == -ENOENT && open)
        return real.getattr(path, st, open);
    if (known || (result && result != -ENOENT))
        return result;
    pthread_mutex_lock(&lock);
    struct node *parent = parent_of(path), *node = have(path, strlen(path));
    if (result && lingers(node, parent)) {
        result = found(node, st);
    } else {
        learn(node, result ? NULL : st, asked);
        if (!result && node)
            dress(node, st);
    }
    tidy();
    pthread_mutex_unlock(&lock);
    return result;
}

/* is_removed DIRECTORY NAME: whether we have removed it since it was listed: ganesha would take it for an error. */
static bool is_removed(const char *directory, const char *name)
{
    char path[strlen(directory) + strlen(name) + 2];
    size_t length = join(path, directory, name);
    pthread_mutex_lock(&lock);
    struct node *node = find(path, length);
    bool result = node && node->removed;
    pthread_mutex_unlock(&lock);
    return result;
}

/* read_by PATH COUNT: so many more have PATH, a directory, open. */
static void read_by(const char *path, int count)
{
    pthread_mutex_lock(&lock);
    struct node *node = have(path, strlen(path));
    if (node) {
        node->kept = true;
        node->readers += count;
    }
    pthread_mutex_unlock(&lock);
}

static int view_opendir(const char *path, struct fuse_file_info *fi)
{
    struct directory *directory = calloc(1, sizeof *directory);
    if (!directory || !(directory->path = strdup(path))) {
        free(directory);
        return -ENOMEM;
    }
    fi->fh = (uintptr_t) directory;
    return 0;
}

static int view_readdir(const char *path, void *to, fuse_fill_dir_t filler, off_t offset, struct fuse_file_info *fi,
                        enum fuse_readdir_flags flags)
{
    (void) flags;
    struct directory *directory = (struct directory *) (uintptr_t) fi->fh;
    if (!directory->listing || !offset) {
        struct listing *new;
        int result = read_names(path, &new);
        if (result)
            return result;
        /* Not before: of an export's root ganesha has a descriptor that it never reads. */
        if (!directory->listing)
            read_by(directory->path, 1);
        pthread_mutex_lock(&lock);
        let_go(directory->listing);
        pthread_mutex_unlock(&lock);
        directory->listing = new;
    }
    const struct listing *listing = directory->listing;
    for (size_t i = entry_at(listing, offset + 1); i < listing->count; i++) {
        struct entry *entry = &listing->entries[i];
        struct stat st = { .st_mode = entry->mode };
        if (!is_removed(path, entry->name) && filler(to, entry->name, &st, entry->offset, 0))
            break;
    }
    return 0;
}

static int view_releasedir(const char *path, struct fuse_file_info *fi)
{
    (void) path;
    struct directory *directory = (struct directory *) (uintptr_t) fi->fh;
    /* It may be elsewhere now. */
    if (directory->listing)
        read_by(directory->path, -1);
    pthread_mutex_lock(&lock);
    let_go(directory->listing);
    pthread_mutex_unlock(&lock);
    free(directory->path);
    free(directory);
    return 0;
}

static struct file *new_file(void)
{
    struct file *file = calloc(1, sizeof *file);
    if (file)
        pthread_mutex_init(&file->lock, NULL);
    return file;
}

/* open_there PATH FILE FI: have sshfs open it as FI says. */
static int open_there(const char *path, struct file *file, const struct fuse_file_info *fi)
{
    struct fuse_file_info there = *fi;
    int result = real.open(path, &there);
    pthread_mutex_lock(&lock);
    struct node *node = have(path, strlen(path));
    if (node)
        node->refused = result == -EACCES || result == -EPERM;
    pthread_mutex_unlock(&lock);
    if (!result) {
        file->real = there;
        file->open = true;
    }
    if (result != -ENOENT)
        return result;
    /* It was said to be there: who wants to make it looks once more. */
    removed(path);
    return -ESTALE;
}

/* refused PATH: whether it could not be opened, the last time. */
static bool refused(const char *path)
{
    pthread_mutex_lock(&lock);
    struct node *node = find(path, strlen(path));
    bool result = node && node->refused;
    pthread_mutex_unlock(&lock);
    return result;
}

static int view_open(const char *path, struct fuse_file_info *fi)
{
    struct file *file = new_file();
    if (!file)
        return -ENOMEM;
    /* To know a file's attributes, ganesha opens it: sshfs is not asked before somebody reads. */
    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC || refused(path)) {
        if (fi->flags & O_TRUNC)
            touch(path, true);
        int result = open_there(path, file, fi);
        if (fi->flags & O_TRUNC)
            touch(path, false);
        if (result) {
            free(file);
            return result;
        }
        *fi = file->real;
    } else {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 11)
        fi->noflush = 1;
#endif
    }
    fi->fh = (uintptr_t) file;
    return 0;
}

static int view_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    struct file *file = new_file();
    if (!file)
        return -ENOMEM;
    file->real = *fi;
    touch_name(path, true);
    int result = real.create(path, mode, &file->real);
    touch_name(path, false);
    if (result) {
        free(file);
        return result;
    }
    file->open = true;
    *fi = file->real;
    fi->fh = (uintptr_t) file;
    return 0;
}

static int view_read(const char *path, char *to, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct file *file = (struct file *) (uintptr_t) fi->fh;
    pthread_mutex_lock(&file->lock);
    int result = file->open ? 0 : open_there(path, file, fi);
    pthread_mutex_unlock(&file->lock);
    return result ? result : real.read(path, to, size, offset, &file->real);
}

static int view_write(const char *path, const char *from, size_t size, off_t offset, struct fuse_file_info *fi)
{
    changing(touch, path, real.write(path, from, size, offset, inner(fi)));
}

static int view_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    changing(touch, path, real.truncate(path, size, inner(fi)));
}

static int view_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    changing(touch, path, real.chmod(path, mode, inner(fi)));
}

static int view_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
    changing(touch, path, real.chown(path, uid, gid, inner(fi)));
}

static int view_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
    touch(path, true);
    int result = real.utimens(path, times, inner(fi));
    pthread_mutex_lock(&lock);
    struct node *node = find(path, strlen(path));
    /* A directory's time is what somebody wants it to be. */
    if (node)
        node->known = false;
    pthread_mutex_unlock(&lock);
    touch(path, false);
    return result;
}

static int view_flush(const char *path, struct fuse_file_info *fi)
{
    struct fuse_file_info *there = inner(fi);
    return there ? real.flush(path, there) : 0;
}

static int view_fsync(const char *path, int data, struct fuse_file_info *fi)
{
    struct fuse_file_info *there = inner(fi);
    return there ? real.fsync(path, data, there) : 0;
}

static int view_release(const char *path, struct fuse_file_info *fi)
{
    struct file *file = (struct file *) (uintptr_t) fi->fh;
    int result = file->open ? real.release(path, &file->real) : 0;
    pthread_mutex_destroy(&file->lock);
    free(file);
    return result;
}

static int view_mknod(const char *path, mode_t mode, dev_t device)
{
    changing(touch_name, path, real.mknod(path, mode, device));
}

static int view_mkdir(const char *path, mode_t mode)
{
    touch_name(path, true);
    int result = real.mkdir(path, mode);
    touch_name(path, false);
    pthread_mutex_lock(&lock);
    struct node *node = result ? NULL : have(path, strlen(path));
    /* Nothing that was in an earlier one is in it. */
    if (node)
        node->born = now();
    pthread_mutex_unlock(&lock);
    return result;
}

static int view_symlink(const char *to, const char *path)
{
    changing(touch_name, path, real.symlink(to, path));
}

/* take_away PATH HOW: have HOW remove it. If it is gone already, that is true from now on. */
static int take_away(const char *path, int (*how)(const char *))
{
    touch_name(path, true);
    int result = how(path);
    if (!result || result == -ENOENT)
        removed(path);
    touch_name(path, false);
    return result;
}

static int view_unlink(const char *path)
{
    return take_away(path, real.unlink);
}

static int view_rmdir(const char *path)
{
    return take_away(path, real.rmdir);
}

static int view_link(const char *from, const char *to)
{
    touch(from, true);
    touch_name(to, true);
    int result = real.link(from, to);
    touch_name(to, false);
    touch(from, false);
    if (!result) {
        pthread_mutex_lock(&lock);
        struct node *one = have(from, strlen(from)), *other = have(to, strlen(to));
        if (one && other)
            one->linked = other->linked = true;
        pthread_mutex_unlock(&lock);
    }
    return result;
}

/* is_file PATH: whether that is no directory; asked for if it isn't known. */
static bool is_file(const char *path)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    struct node *node = find(path, strlen(path));
    bool known = counts(node) && !found(node, &st);
    pthread_mutex_unlock(&lock);
    return (known || !real.getattr(path, &st, NULL)) && !S_ISDIR(st.st_mode);
}

static int view_rename(const char *from, const char *to, unsigned int flags)
{
    bool file = is_file(from);
    touch_name(from, true);
    touch_name(to, true);
    int result = real.rename(from, to, flags);
    if (!result && !(flags & RENAME_EXCHANGE))
        removed(from);
    touch_name(to, false);
    touch_name(from, false);
    pthread_mutex_lock(&lock);
    struct node *one = find(from, strlen(from)), *other = find(to, strlen(to));
    if (!result && one && other)
        other->linked |= one->linked;
    /* All that was below it is elsewhere. */
    if (!result && !file)
        forgotten = now();
    pthread_mutex_unlock(&lock);
    return result;
}

static void *view_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    void *result = real.init ? real.init(conn, config) : NULL;
    config->nullpath_ok = 0;
    /* Of what is shown for a directory. */
    conn->time_gran = 1;
    return result;
}

/* viewed OP SIZE: OP, seen through this. */
static const struct fuse_operations *viewed(const struct fuse_operations *op, size_t size)
{
    static struct fuse_operations view;
    const char *age = getenv("WOMM_VIEW_MS");
    if (op == &view)
        return op;
    if (age && !strcmp(age, "proof"))
        _exit(puts("sshfs-view") < 0 || fflush(stdout));
    if (age)
        hold = atoll(age) * 1000;
    memcpy(&real, op, size < sizeof real ? size : sizeof real);
    view = real;
    view.init = view_init;
    view.getattr = view_getattr;
    view.opendir = view_opendir;
    view.readdir = view_readdir;
    view.releasedir = view_releasedir;
    view.open = view_open;
    view.create = view_create;
    view.read = view_read;
    view.write = view_write;
    view.truncate = view_truncate;
    view.chmod = view_chmod;
    view.chown = view_chown;
    view.utimens = view_utimens;
    view.flush = view_flush;
    view.fsync = view_fsync;
    view.release = view_release;
    view.mknod = view_mknod;
    view.mkdir = view_mkdir;
    view.symlink = view_symlink;
    view.unlink = view_unlink;
    view.rmdir = view_rmdir;
    view.link = view_link;
    view.rename = view_rename;
    return &view;
}

static void forget(fuse_req_t request, fuse_ino_t ino, uint64_t count)
{
    (void) ino;
    (void) count;
    fuse_reply_none(request);
}

static void forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *data)
{
    (void) count;
    (void) data;
    fuse_reply_none(request);
}

/* keeping OP SIZE: OP, whose names are never forgotten. */
static const struct fuse_lowlevel_ops *keeping(const struct fuse_lowlevel_ops *op, size_t size)
{
    static struct fuse_lowlevel_ops kept;
    if (op == &kept)
        return op;
    memcpy(&kept, op, size < sizeof kept ? size : sizeof kept);
    kept.forget = forget;
    kept.forget_multi = forget_multi;
    return &kept;
}

/* --- What sshfs calls in libfuse, and libfuse in itself: up to 3.16, and from 3.17 on */

#undef fuse_new
#undef fuse_session_new
struct libfuse_version;
struct fuse *fuse_new(struct fuse_args *args, const struct fuse_operations *op, size_t size, void *data);
struct fuse *_fuse_new_31(struct fuse_args *args, const struct fuse_operations *op, size_t size,
                          struct libfuse_version *version, void *data);
struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t size, void *data);
struct fuse_session *fuse_session_new_versioned(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t size,
                                                struct libfuse_version *version, void *data);

/* next(NAME): what NAME is in libfuse. */
#define next(name) ((__typeof__(name) *) dlsym(RTLD_NEXT, #name))

struct fuse *fuse_new(struct fuse_args *args, const struct fuse_operations *op, size_t size, void *data)
{
    return next(fuse_new)(args, viewed(op, size), sizeof *op, data);
}

struct fuse *_fuse_new_31(struct fuse_args *args, const struct fuse_operations *op, size_t size,
                          struct libfuse_version *version, void *data)
{
    return next(_fuse_new_31)(args, viewed(op, size), sizeof *op, version, data);
}

struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t size, void *data)
{
    return next(fuse_session_new)(args, keeping(op, size), sizeof *op, data);
}

struct fuse_session *fuse_session_new_versioned(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t size,
                                                struct libfuse_version *version, void *data)
{
    return next(fuse_session_new_versioned)(args, keeping(op, size), sizeof *op, version, data);
}
