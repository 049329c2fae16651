/* Reading a directory: its names, and with them the attributes of all that is in it. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdlib.h>
#include <string.h>

static pthread_cond_t read_out = PTHREAD_COND_INITIALIZER;

struct filling {
    const char *path;
    int64_t asked;
    struct listing *listing;
    bool failed;              /* there was no memory */
};

size_t join(char *to, const char *directory, const char *name)
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
    if (!add(filling->listing, name, st ? st->st_mode : 0))
        return filling->failed = true;
    if (!st || !strcmp(name, ".."))
        return 0;
    char path[strlen(filling->path) + strlen(name) + 2];
    size_t length = join(path, filling->path, name);
    pthread_mutex_lock(&lock);
    struct node *node = have(path, length);
    bool itself = !strcmp(name, ".");
    /* If the directory grew now, this listing would be of before that, count for nothing, and be read again. */
    if (!itself || !node || !pends(node, st))
        learn(node, st, filling->asked);
    pthread_mutex_unlock(&lock);
    return 0;
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

/* read_since NODE BEFORE: whether its listing counts; one that was not the last one at BEFORE may have taken long to read: who has
 * waited for it does not do so once more. With `lock` held. */
static bool read_since(const struct node *node, int64_t before)
{
    return lists(node, node && node->listed != before ? pace(node) : hold);
}

int read_names(const char *path, struct listing **listing)
{
    pthread_mutex_lock(&lock);
    struct node *node = have(path, strlen(path));
    int64_t before = node ? node->listed : 0;
    if (node)
        node->kept = true;
    while (node && node->reading && !read_since(node, before))
        pthread_cond_wait(&read_out, &lock);
    if (read_since(node, before)) {
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
        node->hasty = unsettled(node, filling.asked);
    }
    if (result)
        let_go(filling.listing);
    tidy();
    pthread_mutex_unlock(&lock);
    *listing = filling.listing;
    return result;
}
