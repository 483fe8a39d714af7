/* What all pages of the UI must say of the cluster: who is away, are writes taken, are answers complete. */
#ifndef SERVER_API_UI_CLUSTER_H
#define SERVER_API_UI_CLUSTER_H

#include "cluster/reach.h"

enum { UI_AWAY_SHOWN = 3, UI_AWAY_MAX = 384, UI_DIFFER_MAX = 256 };

struct ui_cluster {
    bool known;                    /* false: the node is alone, and nothing below says anything */
    uint32_t n[MEMBER_DEAD + 1];   /* members by state */
    bool writes;                   /* each replica set has as many members that are alive as a write needs */
    char incomplete[READ_WHY_MAX]; /* what answers may lack; empty = nothing */
    char away[UI_AWAY_MAX];        /* the first UI_AWAY_SHOWN members that are suspect or dead, in a sentence; empty = none */
    char differ[UI_DIFFER_MAX];    /* members that have other settings of tenants, in a sentence; empty = none */
};

/* Asks other nodes only while a member is not alive, and then those that are; what it cannot find out in time it leaves empty. */
void ui_cluster_look(struct cluster *c, struct arena *a, struct ui_cluster *out) MAY_YIELD;

#endif
