/* One connection of rpc.h, the same at both ends: hellos, bodies with their credits, pings, and its end. What calls mean is the role's
 * (rpc_server.c, rpc_peer.c), what bytes go through is the link's (struct rpc_io: a socket, TLS over one, or a test's memory).
 *
 *   GREETING --both hellos, agreed--> OPEN --> DOWN (role->down was called, the link closes or aborts)
 *       |                                        ^
 *       +--refused, too late, broken-------------+
 *
 * Invariants
 *  1. role->down is called exactly once, by rpc_conn_down, and nothing of the role after it.
 *  2. The memory is the role's. It outlives the link's last callback: a link that ends calls rpc_conn_ended.
 *  3. A body to be sent is in c->outs iff it has bytes that its credit lets go; refs counts its pieces inside the link.
 *  4. on_way = sum over bodies that are being sent of what is sent and not credited, <= RPC_ON_WAY_MAX. */
#ifndef BASE_NET_RPC_CONN_H
#define BASE_NET_RPC_CONN_H

#include "base/net/rpc.h"
#include "base/net/tls.h"

/* None of these calls back into the connection, except by the loop. */
struct rpc_io {
    void (*send)(void *link, const void *p, size_t n);
    /* p stays until done(arg), which the loop calls, also when the link ends. */
    void (*send_ref)(void *link, const void *p, size_t n, void (*done)(void *arg), void *arg);
    size_t (*unsent)(void *link);
    bool (*closing)(void *link);
    void (*pause)(void *link);
    void (*resume)(void *link);
    void (*close)(void *link); /* after the output is flushed */
    void (*abort)(void *link);
};

struct rpc_conn;

/* A body that goes out in DATA frames. */
struct rpc_out {
    struct rpc_out *prev, *next;
    struct rpc_conn *conn;
    uint64_t call;
    const char *p;
    size_t n, sent;
    uint32_t window;   /* bytes that may still be sent */
    uint32_t on_way;   /* sent, not credited */
    uint32_t refs;
    bool listed, over; /* over: nothing more of it will be sent */
    void (*idle)(struct rpc_out *o); /* over, and refs == 0: the bytes are the owner's again; once, from the loop */
};
/* A body that comes in: its memory is there, so a sender that does not keep to its credit harms nobody but itself. */
struct rpc_in {
    char *p;           /* NULL: the bytes are counted and thrown away */
    uint32_t n, got;
    uint32_t owed;     /* came, and not credited */
};

struct rpc_role {
    bool server;
    err_t (*opened)(struct rpc_conn *c); /* the peer's hello is in c->theirs and agrees with ours so far */
    err_t (*frame)(struct rpc_conn *c, const struct frame_head *h, const uint8_t *payload);
    struct rpc_in *(*in)(struct rpc_conn *c, uint64_t call);   /* NULL: nobody waits for it */
    err_t (*whole)(struct rpc_conn *c, uint64_t call);         /* its body is */
    struct rpc_out *(*out)(struct rpc_conn *c, uint64_t call); /* NULL: nobody sends it */
    void (*sent)(struct rpc_conn *c, struct rpc_out *o);       /* all of it was given to the link */
    bool (*busy)(struct rpc_conn *c);                          /* calls are open */
    void (*down)(struct rpc_conn *c, const char *why);
};

enum rpc_state { RPC_GREETING, RPC_OPEN, RPC_DOWN };

struct rpc_conn {
    const struct rpc_io *io;
    void *link;             /* or NULL: gone */
    struct tls_link *tls;   /* or NULL */
    const struct rpc_role *role;
    const struct rpc_hello *hello; /* ours */
    uint32_t calls_max, body_max;  /* that we say */
    enum rpc_state state;
    bool paused;
    bool agreed;       /* was open once */
    bool spoke;        /* the peer did */
    bool refusal_only; /* nothing else is believed of a server that answers TLS without it */
    struct frame_hello theirs;
    uint32_t version;
    struct frame_reader in;
    struct rpc_out *outs; /* a ring; outs is the next to send */
    size_t on_way;
    mono_ns began, heard, ticked;
    mono_ns asked;               /* when a ping went that nothing came after; {0} = none */
    char name[64];               /* of the peer, for messages */
};

/* name: the peer's address. Then a link, then rpc_conn_begin: a client says hello. */
void rpc_conn_init(struct rpc_conn *c, const struct rpc_role *role, const struct rpc_hello *hello, uint32_t calls_max,
                   uint32_t body_max, const char *name);
void rpc_conn_begin(struct rpc_conn *c);
void rpc_conn_feed(struct rpc_conn *c, const uint8_t *bytes, size_t n);
void rpc_conn_drained(struct rpc_conn *c); /* the link's output fell below its mark */
void rpc_conn_tick(struct rpc_conn *c);    /* about once a second */
/* The link is gone (closed or broken); os_errno 0 = in order. */
void rpc_conn_ended(struct rpc_conn *c, int os_errno);
/* Ends it: from whatever state, once. tell: with a REFUSE of this code and reason. */
void rpc_conn_down(struct rpc_conn *c, bool tell, err_t code, const char *why);

void rpc_conn_frame(struct rpc_conn *c, enum frame_type type, uint64_t call, const void *payload, size_t n,
                    struct str rest); /* one frame: payload, then rest */
void rpc_conn_error(struct rpc_conn *c, uint64_t call, err_t code, const char *detail);
/* Sends n bytes at p in DATA frames. o->idle is set. */
void rpc_out_start(struct rpc_conn *c, struct rpc_out *o, uint64_t call, const char *p, size_t n);
void rpc_out_stop(struct rpc_out *o); /* no more of it; o->idle comes when nothing of it is under way (at once: o->over && !o->refs) */
void rpc_in_init(struct rpc_in *in, char *p, uint32_t n);

/* Do they and we speak? OK, or the error with the reason in the detail; *version gets the one to use. */
MUST_CHECK err_t rpc_hello_check(const struct rpc_hello *ours, const struct frame_hello *theirs, uint32_t *version);

/* -- links: a socket, or TLS over one (rpc_link.c). The socket's user is the struct rpc_conn, its callbacks but the last are these -- */
void rpc_link_open(struct rpc_conn *c, struct sock *s, struct tls *tls); /* tls may be NULL; begins */
void rpc_link_on_data(struct sock *s, const uint8_t *bytes, size_t n);
void rpc_link_on_eof(struct sock *s);
void rpc_link_on_drained(struct sock *s);
void rpc_link_gone(struct rpc_conn *c, int os_errno);

#endif
