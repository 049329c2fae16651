/*
 * sshfs-view.so: what sshfs knows of the user's files, and for how long. LD_PRELOAD puts it between sshfs and libfuse; sshfs
 * runs with dir_cache=no then, and the kernel keeps next to nothing (attr_timeout, entry_timeout): this is the one place where
 * anything ages. Built where the NFS server's image is (Dockerfile.nfs), of all that is in this directory.
 *
 * Why sshfs's own cache won't do behind nfs-ganesha:
 * - sshfs up to 3.7.6 ends by an assertion when a directory is read from an offset (libfuse/sshfs #379), and ganesha does that
 *   whenever a directory has changed while somebody lists it. Here offsets come of the names: they stay, whatever comes and goes.
 * - Where attributes have aged, ganesha asks for those of each file by itself, with an open before: two requests a file, one
 *   file after the other, and on a line of 40 ms a listing of 2,000 took 88 s. Here a few such questions have the whole directory
 *   read, which brings all attributes in some four round trips; and a file is opened there when its first byte is read.
 * - With noforget, libfuse up to 3.18 ends by an assertion (libfuse/libfuse #589) when something is renamed to a name that was
 *   known, and that others have deleted. Here the kernel's word that it has forgotten a name is not passed on.
 * - SFTP tells times in seconds, and ganesha reads a directory anew only if its time has grown, and a node's kernel asks again
 *   for a name that was missing: a file made in the second of the last listing, or question, or in a directory whose time was
 *   set back, was never seen. Here a directory's time grows, by nanoseconds, whenever it has changed.
 *
 * Environment: WOMM_VIEW_MS, milliseconds for which an answer counts; `proof`: print `sshfs-view` where sshfs would begin.
 *
 * Every file includes this one first: what it defines changes the system's headers.
 */
#ifndef VIEW_H
#define VIEW_H

#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct fuse_file_info;
struct fuse_operations;

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
    bool lacking;             /* so was a name missed */
    struct listing *listing;
    int64_t listed;           /* when that was asked for */
    bool reading;             /* somebody does */
    int readers;              /* how many are reading it */
    int64_t asked_since;      /* when the first of `asked` questions about entries was asked */
    size_t asked;
};

/* How long a directory may change again without its time's changing. Microseconds, like all times but those of files. */
enum { TICK = 1000000 };
/* A time that no directory has: it will have another one when it is looked at. */
#define NEVER ((time_t) -1)

/* With LD_PRELOAD, a name that is seen from outside would be taken for another library's of that name. */
#pragma GCC visibility push(hidden)

/* What sshfs does. */
extern struct fuse_operations real;
/* For how long an answer counts. */
extern int64_t hold;
/* What was asked for until then counts no more. */
extern int64_t forgotten;
/* Whoever looks at nodes holds it; whoever asks sshfs for something does not. */
extern pthread_mutex_t lock;

/* --- listing.c. The holders are counted with `lock` held. */

/* hash TEXT: FNV-1a, of LENGTH bytes. */
uint64_t hash(const char *text, size_t length);
/* offset_of NAME: its place in a directory; positive, and none that NFS has a use of its own for. */
off_t offset_of(const char *name);
/* add LISTING NAME MODE: one more entry, at the end; false where there is no memory for it. */
bool add(struct listing *listing, const char *name, mode_t mode);
/* sort LISTING: by offsets, each of which is one entry's. */
void sort(struct listing *listing);
/* entry_at LISTING OFFSET: the first entry with an offset of OFFSET or more. */
size_t entry_at(const struct listing *listing, off_t offset);
/* names LISTING NAME: whether it is there. */
bool names(const struct listing *listing, const char *name);
/* same ONE OTHER: whether two listings have the same names. */
bool same(const struct listing *one, const struct listing *other);
/* let_go LISTING: it has one holder less, the last of whom frees it; NULL is nobody's. */
void let_go(struct listing *listing);

/* --- nodes.c. All of it with `lock` held, but for the time. */

/* now: microseconds since some moment; never 0. */
int64_t now(void);
/* find PATH: its node, if there is one. PATH has LENGTH bytes, and may go on. */
struct node *find(const char *path, size_t length);
/* have PATH: its node; NULL where there is no memory for it. */
struct node *have(const char *path, size_t length);
/* parent_length PATH: how much of it is its directory's path; 0 if it has none. */
size_t parent_length(const char *path);
/* parent_of PATH: its directory's node; NULL if it has none, or there is no memory for it. */
struct node *parent_of(const char *path);
/* counts NODE AGE: whether what was asked of it still counts, where that may be so old. */
bool counts(const struct node *node, int64_t age);
/* lists NODE AGE: whether its listing still counts. */
bool lists(const struct node *node, int64_t age);
/* found NODE ST: what NODE says of it. Returns 0, or -ENOENT. */
int found(const struct node *node, struct stat *st);
/* tidy: where there are many nodes, throw away those that have aged; nobody who holds one calls this. */
void tidy(void);

/* --- ages.c. All of it with `lock` held. */

/* show NODE: have a directory's time grow: it has changed. */
void show(struct node *node);
/* pace NODE: how old what is told of a directory may be to those who ask for its entries one after the other: else, who lists
 * one of ten thousands would not come to an end. */
int64_t pace(const struct node *node);
/* due NODE: whether it may be shown now that others have changed it. It is taken to be done. */
bool due(struct node *node);
/* unsettled NODE ASKED: whether a directory may have changed since ASKED and still have the same time. */
bool unsettled(const struct node *node, int64_t asked);
/* pends NODE ST: whether a directory that has the attributes ST has a change to show yet. */
bool pends(const struct node *node, const struct stat *st);
/* dress NODE ST: give ST, NODE's attributes as they were found, the times that are shown. */
void dress(const struct node *node, struct stat *st);
/* learn NODE ST ASKED: when it was asked at ASKED it had the attributes ST; NULL: it was not there. Unless that is not true
 * any more. */
void learn(struct node *node, const struct stat *st, int64_t asked);
/* lingers NODE PARENT: whether it is still said to be there when others have taken it away. */
bool lingers(struct node *node, struct node *parent);

/* --- changes.c */

/* touch PATH BEGINS: PATH is changed from here, or was. */
void touch(const char *path, bool begins);
/* touch_name PATH BEGINS: the same of a name and its directory. */
void touch_name(const char *path, bool begins);
/* removed PATH: it is not there any more; we have done that. */
void removed(const char *path);

/* changing(TOUCH, PATH, CALL): CALL changes PATH; a function's body. */
#define changing(touch, path, call) \
    touch(path, true);              \
    int result = call;              \
    touch(path, false);             \
    return result

/* --- reading.c */

/* join TO DIRECTORY NAME: have TO be the path of NAME in DIRECTORY; returns its length. TO has room for both and two more. */
size_t join(char *to, const char *directory, const char *name);
/* read_names PATH LISTING: the names that PATH has, for who lets go of them; asked for now, unless the answer counts that there
 * is. Returns 0, or what was wrong. */
int read_names(const char *path, struct listing **listing);

/* --- What libfuse asks for: attributes.c, directories.c, entries.c, files.c. Each puts its operations into VIEW, in place of
 * sshfs's. */

void view_attributes(struct fuse_operations *view);
void view_directories(struct fuse_operations *view);
void view_entries(struct fuse_operations *view);
void view_files(struct fuse_operations *view);

/* inner FI (files.c): what sshfs knows FI as; NULL if it doesn't. */
struct fuse_file_info *inner(struct fuse_file_info *fi);

#pragma GCC visibility pop
#endif
