/* Between sshfs and libfuse: what is called there goes through this. */
#include "view.h"

#include <dlfcn.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fuse_operations real;

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
    view_attributes(&view);
    view_directories(&view);
    view_files(&view);
    view_entries(&view);
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
