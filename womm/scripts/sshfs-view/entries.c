/* What libfuse asks for: names made, removed and given to something else. */
#include "view.h"

#include <errno.h>
#include <fuse.h>
#include <stdio.h>
#include <string.h>

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
    bool known = counts(node, hold) && !found(node, &st);
    pthread_mutex_unlock(&lock);
    return (known || !real.getattr(path, &st, NULL)) && !S_ISDIR(st.st_mode);
}

static int view_rename(const char *from, const char *to, unsigned int flags)
{
    bool file = is_file(from);
    touch_name(from, true);
    touch_name(to, true);
    int result = real.rename(from, to, flags);
    pthread_mutex_lock(&lock);
    struct node *one = find(from, strlen(from)), *other = find(to, strlen(to));
    if (!result && one && other)
        other->linked |= one->linked;
    pthread_mutex_unlock(&lock);
    if (!result && !(flags & RENAME_EXCHANGE))
        removed(from);
    touch_name(to, false);
    touch_name(from, false);
    pthread_mutex_lock(&lock);
    /* All that was below it is elsewhere. */
    if (!result && !file)
        forgotten = now();
    pthread_mutex_unlock(&lock);
    return result;
}

void view_entries(struct fuse_operations *view)
{
    view->mknod = view_mknod;
    view->mkdir = view_mkdir;
    view->symlink = view_symlink;
    view->unlink = view_unlink;
    view->rmdir = view_rmdir;
    view->link = view_link;
    view->rename = view_rename;
}
