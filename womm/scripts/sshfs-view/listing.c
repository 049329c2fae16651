/* A directory's names, by offset. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

uint64_t hash(const char *text, size_t length)
{
    uint64_t h = 14695981039346656037u;
    while (length--)
        h = (h ^ (unsigned char) *text++) * 1099511628211u;
    return h;
}

off_t offset_of(const char *name)
{
    uint64_t h = hash(name, strlen(name));
    return (off_t) ((h ^ h >> 32) & 0x7fffffffffffff00) | 0x80;
}

bool add(struct listing *listing, const char *name, mode_t mode)
{
    if (listing->count == listing->room) {
        size_t room = listing->room ? 2 * listing->room : 64;
        void *more = realloc(listing->entries, room * sizeof *listing->entries);
        if (!more)
            return false;
        listing->entries = more;
        listing->room = room;
    }
    struct entry *entry = &listing->entries[listing->count];
    if (!(entry->name = strdup(name)))
        return false;
    entry->offset = offset_of(name);
    entry->mode = mode;
    listing->count++;
    return true;
}

static int by_offset(const void *one, const void *other)
{
    const struct entry *a = one, *b = other;
    return a->offset != b->offset ? (a->offset > b->offset) - (a->offset < b->offset) : strcmp(a->name, b->name);
}

void sort(struct listing *listing)
{
    qsort(listing->entries, listing->count, sizeof *listing->entries, by_offset);
    for (size_t i = 1; i < listing->count; i++)
        if (listing->entries[i].offset <= listing->entries[i - 1].offset)
            listing->entries[i].offset = listing->entries[i - 1].offset + 1;
}

size_t entry_at(const struct listing *listing, off_t offset)
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

bool names(const struct listing *listing, const char *name)
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

bool same(const struct listing *one, const struct listing *other)
{
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++)
        if (one->entries[i].offset != other->entries[i].offset)
            return false;
    return true;
}

void let_go(struct listing *listing)
{
    if (!listing || --listing->holders)
        return;
    while (listing->count)
        free(listing->entries[--listing->count].name);
    free(listing->entries);
    free(listing);
}
