/* What libfuse asks for: attributes. */
#include "view.h"

#include <errno.h>
#include <fuse.h>
#include <string.h>

/* Questions about entries of a directory after which it is read as a whole; one more for so many entries that it had, but no
 * more than may be asked one after the other while an answer counts. */
enum { FEW = 3, MANY = 1000, MOST = 16 };

/* answer PATH ST RESULT AGE: whether something that counts, no older than AGE, is known of PATH; then ST or RESULT is set. With
 * `lock` held. */
static bool answer(const char *path, struct stat *st, int *result, int64_t age)
{
    struct node *parent = parent_of(path), *node = find(path, strlen(path));
    /* One that lingers does so for a while, not for as long as there are many. */
    bool counted = counts(node, node && node->missed ? hold : age);
    /* That it was missing counts until its directory is shown to have changed: who asks then asks because of that. */
    if (counted && parent && (node->at <= parent->born || (!node->there && node->at <= parent->due)))
        counted = false;
    if (!counted) {
        if (!lists(parent, age) || names(parent->listing, strrchr(path, '/') + 1))
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
    size_t more = parent->listing ? parent->listing->count / MANY : 0;
    return ++parent->asked > FEW + (more < MOST ? more : MOST);
}

/* looked_into PATH: whether it is a directory in which somebody looks for something: its time tells him what is new there. With
 * `lock` held. */
static bool looked_into(const char *path)
{
    struct node *node = find(path, strlen(path));
    return node && S_ISDIR(node->st.st_mode) && (node->kept || node->asked_since);
}

static int view_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    int result;
    pthread_mutex_lock(&lock);
    bool known = answer(path, st, &result, hold);
    bool many = !known && often(path);
    /* It is not to be read again and again while its entries are asked for. A new name, though, is seen at once. */
    if (many)
        known = answer(path, st, &result, pace(parent_of(path))) && !result && !looked_into(path);
    if (many && !known) {
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
            known = answer(path, st, &result, pace(parent_of(path)));
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
        if (result && parent)
            parent->lacking |= unsettled(parent, asked);
        if (!result && node)
            dress(node, st);
    }
    tidy();
    pthread_mutex_unlock(&lock);
    return result;
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
    /* A directory's time is what somebody wants it to be. Who has missed a name there is to look again. */
    if (node) {
        node->known = false;
        node->lacking = true;
    }
    pthread_mutex_unlock(&lock);
    touch(path, false);
    return result;
}

void view_attributes(struct fuse_operations *view)
{
    view->getattr = view_getattr;
    view->chmod = view_chmod;
    view->chown = view_chown;
    view->utimens = view_utimens;
}
