/* What libfuse asks for: directories' names. */
#include "view.h"

#include <errno.h>
#include <fuse.h>
#include <stdlib.h>
#include <string.h>

/* An open directory; its names, once they are read. */
struct directory {
    char *path;
    struct listing *listing;
};

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

void view_directories(struct fuse_operations *view)
{
    view->opendir = view_opendir;
    view->readdir = view_readdir;
    view->releasedir = view_releasedir;
}
