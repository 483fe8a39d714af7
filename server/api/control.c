#include "server/api/control.h"

#include "base/core/assert.h"
#include "base/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_control(const char *dir, int flags)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/control", dir);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void control_make(const char *dir, struct control *out)
{
    uint8_t bytes[CONTROL_DIGITS / 2];
    ssize_t got = getrandom(bytes, sizeof bytes, 0);
    ASSERT(got == sizeof bytes); /* up to 256 bytes always come whole */
    *out = (struct control){ 0 };
    str_to_hex(bytes, sizeof bytes, out->secret);
    int fd = open_control(dir, O_WRONLY | O_CREAT | O_TRUNC);
    bool written = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, out->secret, CONTROL_DIGITS) == CONTROL_DIGITS;
    if (!written) {
        log_warn("node.control", "error=\"%s\" effect=\"tercet cluster drain and forget are treated as requests from anywhere\"", strerror(errno));
        *out = (struct control){ 0 };
    }
    if (fd >= 0) close(fd);
}

void control_find(const char *dir, struct control *out)
{
    *out = (struct control){ 0 };
    int fd = open_control(dir, O_RDONLY);
    if (fd < 0) return;
    ssize_t n = read(fd, out->secret, CONTROL_DIGITS);
    uint8_t bytes[CONTROL_DIGITS / 2];
    if (n != CONTROL_DIGITS || !str_from_hex(str_n(out->secret, CONTROL_DIGITS), bytes, sizeof bytes)) *out = (struct control){ 0 };
    close(fd);
}

bool control_is(const struct control *c, struct str said)
{
    unsigned differs = 0;
    if (c->secret[0] == 0 || said.n != CONTROL_DIGITS) return false;
    for (unsigned i = 0; i < CONTROL_DIGITS; i++)
        differs |= (unsigned char)(c->secret[i] ^ said.p[i]);
    return differs == 0;
}
