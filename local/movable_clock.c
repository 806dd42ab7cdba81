/* A machine's clock that can be moved, for `cargo xtask month`. A program that is started with this library in
 * LD_PRELOAD reads the wall-clock time of the machine plus an offset. The offset is a signed 64-bit number of
 * nanoseconds, in the byte order of the machine, in the file that SENTRY_CLOCK_FILE names. All programs share the file,
 * so one write moves the time of all of them. Monotonic clocks are not changed: timeouts and sleeps last as long as ever.
 *
 * The functions that are replaced are those of POSIX: clock_gettime(3), gettimeofday(2) and time(2). Python and Rust's
 * standard library read the time through clock_gettime. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_ns;

/* Ends the program if the file cannot be used. With the time of the machine it would do damage without a message. */
__attribute__((constructor)) static void map_offset(void)
{
    static const char message[] = "movable_clock: SENTRY_CLOCK_FILE names no file with 8 bytes\n";
    const char *path = getenv("SENTRY_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0 && lseek(file, 0, SEEK_END) == (off_t)sizeof(int64_t)) {
        void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (mapped != MAP_FAILED) {
            offset_ns = mapped;
            return;
        }
    }
    ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
    (void)ignored;
    _exit(127);
}

static int read_clock(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset_ns != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t moved = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + *offset_ns;
        now->tv_sec = moved / 1000000000;
        now->tv_nsec = moved % 1000000000;
    }
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    return read_clock(clock, now);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    if (read_clock(CLOCK_REALTIME, &precise) != 0) {
        return -1;
    }
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *stored)
{
    struct timespec precise;
    if (read_clock(CLOCK_REALTIME, &precise) != 0) {
        return (time_t)-1;
    }
    if (stored != NULL) {
        *stored = precise.tv_sec;
    }
    return precise.tv_sec;
}
