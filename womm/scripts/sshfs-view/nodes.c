/* The table: what was said of each path, by path. */
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Buckets of the table; nodes at which those that have aged are thrown away. */
enum { BUCKETS = 1 << 16, CROWD = 200000 };

int64_t hold = 1000000;
int64_t forgotten;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *table[BUCKETS];
static size_t nodes;

int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000 + 1;
}

struct node *find(const char *path, size_t length)
{
    struct node *node = table[hash(path, length) % BUCKETS];
    while (node && (strncmp(node->path, path, length) || node->path[length]))
        node = node->next;
    return node;
}

struct node *have(const char *path, size_t length)
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

size_t parent_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1])
        return 0;
    return slash == path ? 1 : (size_t) (slash - path);
}

struct node *parent_of(const char *path)
{
    size_t length = parent_length(path);
    return length ? have(path, length) : NULL;
}

bool counts(const struct node *node, int64_t age)
{
    return node && !node->changing && node->at > forgotten && now() - node->at <= age;
}

bool lists(const struct node *node, int64_t age)
{
    return node && node->listing && !node->changing && node->listed > forgotten && now() - node->listed <= age;
}

int found(const struct node *node, struct stat *st)
{
    if (!node->there)
        return -ENOENT;
    *st = node->st;
    return 0;
}

/* What a directory has shown has to be remembered. */
void tidy(void)
{
    static size_t crowd = CROWD;
    if (nodes < crowd)
        return;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        for (struct node **link = &table[bucket], *node = *link; node; node = *link) {
            bool used = node->changing || node->known || node->kept || node->linked || now() - node->changed <= hold;
            if (used || counts(node, pace(find(node->path, parent_length(node->path))))) {
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
