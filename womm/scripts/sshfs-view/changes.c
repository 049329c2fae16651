/* Changes that are made from here. */
#include "view.h"

#include <string.h>

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

void touch(const char *path, bool begins)
{
    pthread_mutex_lock(&lock);
    touched(path, strlen(path), begins, false);
    pthread_mutex_unlock(&lock);
}

void touch_name(const char *path, bool begins)
{
    pthread_mutex_lock(&lock);
    touched(path, strlen(path), begins, false);
    touched(path, parent_length(path), begins, true);
    pthread_mutex_unlock(&lock);
}

void removed(const char *path)
{
    pthread_mutex_lock(&lock);
    struct node *node = find(path, strlen(path));
    if (node) {
        node->removed = true;
        node->linked = false;
        /* What was said of it counts no more. */
        node->at = 0;
    }
    pthread_mutex_unlock(&lock);
}
