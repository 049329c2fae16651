/* What libfuse asks for: files, and what is in them. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdlib.h>
#include <string.h>

/* An open file. */
struct file {
    pthread_mutex_t lock;
    bool open;                /* there, too; then: */
    struct fuse_file_info real;
};

struct fuse_file_info *inner(struct fuse_file_info *fi)
{
    struct file *file = fi ? (struct file *) (uintptr_t) fi->fh : NULL;
    if (!file)
        return NULL;
    pthread_mutex_lock(&file->lock);
    bool open = file->open;
    pthread_mutex_unlock(&file->lock);
    return open ? &file->real : NULL;
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

void view_files(struct fuse_operations *view)
{
    view->open = view_open;
    view->create = view_create;
    view->read = view_read;
    view->write = view_write;
    view->truncate = view_truncate;
    view->flush = view_flush;
    view->fsync = view_fsync;
    view->release = view_release;
    /* They would be given our handle for sshfs's. It has none of them, up to 3.7.3. */
    view->read_buf = NULL;
    view->write_buf = NULL;
    view->lseek = NULL;
    view->copy_file_range = NULL;
    view->fallocate = NULL;
    view->lock = NULL;
    view->flock = NULL;
    view->ioctl = NULL;
    view->poll = NULL;
}
