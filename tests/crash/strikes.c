/* Preloaded into the daemon: ends it, or lets a call fail, at the n-th call that changes something.

   Counted together, over its threads and workers, are the calls that change what lies below
   $STRIKE_BELOW, and the requests that ask the provider for a change. Each is noted in $STRIKE_BOOK,
   a file that all of them share. At number $STRIKE_AT the whole process group is killed before the
   call acts ($STRIKE_WHAT = 0), or the call fails with that error number; with $STRIKE_LASTS each
   one after it, too. Only calls that a disk can fail are counted when they are to fail. With
   $STRIKE_DEAF no sync is carried out, and each is reported done. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define TEXT 160
#define ROWS 8192

struct book {
    long count;
    long struck; /* number of the call that was struck, 0 if none was */
    char rows[ROWS][TEXT];
};

static struct book *book;
static const char *below;
static long at, lasts;
static int what, deaf;

/* Read the plan out of the environment: by itself at the start, and called by whoever forks. */
__attribute__((constructor)) void strike_arm(void)
{
    const char *file = getenv("STRIKE_BOOK"), *number = getenv("STRIKE_AT");
    int book_file;

    below = getenv("STRIKE_BELOW");
    if (file == NULL || below == NULL || number == NULL)
        return;
    at = atol(number);
    what = getenv("STRIKE_WHAT") ? atoi(getenv("STRIKE_WHAT")) : 0;
    lasts = getenv("STRIKE_LASTS") != NULL;
    deaf = getenv("STRIKE_DEAF") != NULL;
    book_file = open(file, O_RDWR | O_CLOEXEC);
    if (book_file < 0)
        return;
    book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED, book_file, 0);
    close(book_file);
    if (book == MAP_FAILED)
        book = NULL;
}

/* Count a call; returns whether it has to fail, with errno set. */
static int struck(const char *call, const char *place, int failable)
{
    long number;

    if (what != 0 && !failable)
        return 0;
    number = __atomic_add_fetch(&book->count, 1, __ATOMIC_SEQ_CST);
    if (number <= ROWS)
        snprintf(book->rows[number - 1], TEXT, "%s %s", call, place);
    if (at <= 0 || !(number == at || (lasts && number > at)))
        return 0;
    if (book->struck == 0)
        book->struck = number;
    if (what == 0) {
        kill(0, SIGKILL);
        for (;;)
            pause();
    }
    errno = what;
    return 1;
}

static const char *inside(const char *path)
{
    size_t length = strlen(below);

    return strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == '\0')
        ? path + length : NULL;
}

static int on_path(const char *call, int folder, const char *path, int failable)
{
    char link[64], whole[PATH_MAX];
    const char *place;
    ssize_t length;

    if (book == NULL || path == NULL)
        return 0;
    if (path[0] != '/' && folder != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, whole, sizeof whole - 2);
        if (length < 0)
            return 0;
        snprintf(whole + length, sizeof whole - length, "/%s", path);
        path = whole;
    }
    place = inside(path);
    return place != NULL && struck(call, place, failable);
}

static int on_file(const char *call, int file, int failable)
{
    char link[64], path[PATH_MAX];
    const char *place;
    ssize_t length;
    int kept = errno, answer;

    if (book == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (length < 0)
        return 0;
    path[length] = '\0';
    place = inside(path);
    answer = place != NULL && struck(call, place, failable);
    return answer;
}

/* A request that changes something at the provider, by its first bytes. */
static void on_words(const char *call, const char *words, size_t size)
{
    static const char *asks[] = {"POST /", "DELETE /", "PATCH /"};
    char line[TEXT - 16];
    size_t i, length;

    if (book == NULL)
        return;
    for (i = 0; i < sizeof asks / sizeof *asks; i++)
        if (size >= strlen(asks[i]) && strncmp(words, asks[i], strlen(asks[i])) == 0) {
            length = size < sizeof line - 1 ? size : sizeof line - 1;
            memcpy(line, words, length);
            line[length] = '\0';
            line[strcspn(line, "?\r\n")] = '\0';
            struck(call, line, 0);
            return;
        }
}

static void on_pieces(const char *call, const struct iovec *pieces, size_t count)
{
    if (count > 0)
        on_words(call, pieces[0].iov_base, pieces[0].iov_len);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) \
        *(void **)&real = dlsym(RTLD_NEXT, name)

/* ---- what is written ---------------------------------------------------------------------- */

ssize_t write(int file, const void *data, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    on_words("write", data, size);
    return on_file("write", file, 1) ? -1 : real(file, data, size);
}

ssize_t writev(int file, const struct iovec *pieces, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    on_pieces("writev", pieces, count);
    return on_file("writev", file, 1) ? -1 : real(file, pieces, count);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t where)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return on_file("pwrite64", file, 1) ? -1 : real(file, data, size, where);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t where)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return on_file("pwrite64", file, 1) ? -1 : real(file, data, size, where);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t where)
{
    REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
    return on_file("pwritev", file, 1) ? -1 : real(file, pieces, count, where);
}

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags)
{
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    return on_file("copy_file_range", to, 1) ? -1 : real(from, a, to, b, size, flags);
}

int ftruncate(int file, off_t size)
{
    REAL(int, "ftruncate", int, off_t);
    return on_file("ftruncate", file, 1) ? -1 : real(file, size);
}

int ftruncate64(int file, off64_t size)
{
    REAL(int, "ftruncate64", int, off64_t);
    return on_file("ftruncate", file, 1) ? -1 : real(file, size);
}

int fsync(int file)
{
    REAL(int, "fsync", int);
    return on_file("fsync", file, 1) ? -1 : deaf ? 0 : real(file);
}

int fdatasync(int file)
{
    REAL(int, "fdatasync", int);
    return on_file("fdatasync", file, 1) ? -1 : deaf ? 0 : real(file);
}

int syncfs(int file)
{
    REAL(int, "syncfs", int);
    return on_file("syncfs", file, 1) ? -1 : deaf ? 0 : real(file);
}

int fchmod(int file, mode_t mode)
{
    REAL(int, "fchmod", int, mode_t);
    return on_file("fchmod", file, 0) ? -1 : real(file, mode);
}

/* ---- names -------------------------------------------------------------------------------- */

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...)
{
    REAL(int, "open", const char *, int, ...);
    MODE(flags)
    return (flags & O_CREAT) && on_path("openat", AT_FDCWD, path, 1) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(int, "open64", const char *, int, ...);
    MODE(flags)
    return (flags & O_CREAT) && on_path("openat", AT_FDCWD, path, 1) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    REAL(int, "openat", int, const char *, int, ...);
    MODE(flags)
    return (flags & O_CREAT) && on_path("openat", folder, path, 1)
        ? -1 : real(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    REAL(int, "openat64", int, const char *, int, ...);
    MODE(flags)
    return (flags & O_CREAT) && on_path("openat", folder, path, 1)
        ? -1 : real(folder, path, flags, mode);
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    return on_path("rename", AT_FDCWD, to, 1) ? -1 : real(from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    return on_path("renameat", b, to, 1) ? -1 : real(a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    return on_path("renameat2", b, to, 1) ? -1 : real(a, from, b, to, flags);
}

int link(const char *from, const char *to)
{
    REAL(int, "link", const char *, const char *);
    return on_path("link", AT_FDCWD, to, 1) ? -1 : real(from, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return on_path("linkat", b, to, 1) ? -1 : real(a, from, b, to, flags);
}

int unlink(const char *path)
{
    REAL(int, "unlink", const char *);
    return on_path("unlink", AT_FDCWD, path, 0) ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    REAL(int, "unlinkat", int, const char *, int);
    return on_path("unlinkat", folder, path, 0) ? -1 : real(folder, path, flags);
}

int rmdir(const char *path)
{
    REAL(int, "rmdir", const char *);
    return on_path("rmdir", AT_FDCWD, path, 0) ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    return on_path("mkdir", AT_FDCWD, path, 1) ? -1 : real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    REAL(int, "mkdirat", int, const char *, mode_t);
    return on_path("mkdirat", folder, path, 1) ? -1 : real(folder, path, mode);
}

/* ---- words to the provider ---------------------------------------------------------------- */

ssize_t send(int file, const void *data, size_t size, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    on_words("send", data, size);
    return real(file, data, size, flags);
}

ssize_t sendto(int file, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t length)
{
    REAL(ssize_t, "sendto", int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    on_words("send", data, size);
    return real(file, data, size, flags, to, length);
}

ssize_t sendmsg(int file, const struct msghdr *message, int flags)
{
    REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
    on_pieces("send", message->msg_iov, message->msg_iovlen);
    return real(file, message, flags);
}
