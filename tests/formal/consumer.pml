/* SPDX-License-Identifier: Apache-2.0
 *
 * One consumer of placement. Its owner writes to it through the guard, while
 * role-holders write to it by every call that placement has.
 *
 * A step is a d_step: one statement that a database runs, or one transaction that
 * compares what it replaces. Steps of different requests interleave freely.
 *
 * Switches, by -D:
 *   bounds       OPS, TRIES, OWNERS, ROLES, START, LIMIT, RESERVE, TO
 *   database     REUSE  a row id may be given again (SQLite)
 *                SPLIT  the SELECT and the DELETE of DELETE's last transaction are
 *                       two steps (PostgreSQL, MariaDB)
 *                WHOLE  DELETE is one step, which it is not; what differs from
 *                       the true one is placement's own
 *   guard        ROLL   counters near their end are rolled
 *                HANDS  how often an operator rolls, wherever the counter is
 *                M_*    a mutant, without one of the guard's conditions
 *   traffic      READS, GUESSES  how the owner knows a generation
 *                ALLKINDS  the owner also sends what is always refused
 *                MODERN    nothing is sent below 1.28
 *                CAPACITY  a provider may be full
 *                LIKELY    in runs at random, the owner rather sends what is allowed
 *   asserted     FOREIGN, HELD, KEPT, ATOMIC, CLAIM, LOST (with LOST_EMPTY,
 *                LOST_REBORN), FITS, BYSTANDER, REACH_*
 */

#ifndef OPS
#define OPS 3          /* requests of role-holders */
#endif
#ifndef TRIES
#define TRIES 1        /* requests of owners */
#endif
#ifndef OWNERS
#define OWNERS 1       /* at work at once */
#endif
#ifndef ROLES
#define ROLES 2        /* at work at once */
#endif
#ifndef START
#define START 1        /* the generation in the beginning */
#endif
#ifndef LIMIT
#define LIMIT 100      /* the greatest generation that fits */
#endif
#ifndef RESERVE
#define RESERVE 0      /* this near to it, counters are rolled */
#endif
#ifndef TO
#define TO -100        /* to here */
#endif

/* Generations that the guard gives, and how far they are apart: further than
 * placement can count before everything ends. */
#ifdef M_USED
#define FIRST_OWN 0
#else
#define FIRST_OWN -1000
#endif
#if defined(M_SPACING)
#define SPACING 1
#elif defined(M_REPEATED)
#define SPACING 0
#else
#define SPACING 50
#endif

/* Whose a consumer is. NOBODY is the incomplete project, where PUT at 1.0 puts it. */
#define ALICE  1
#define BOB    2
#define NOBODY 3

/* No generation: null in a body. */
#define NONE 9999

mtype = {
  /* requests */
  put, put_empty,            /* PUT from 1.28 on, with a generation */
  put_old,                   /* PUT from 1.8 to 1.27 */
  put_oldest,                /* PUT below 1.8: no owner, no generation */
  post_old_empty,            /* POST from 1.13 to 1.27 */
  delete,
  roll,                      /* not a request: `generation roll`, by an operator */
  /* steps */
  owner_read, owner_judge, owner_swap,
  role_read, role_judge, role_swap,
  placement_compare, placement_create, placement_reread,
  placement_second_read, placement_commit, placement_full, placement_cleanup,
  delete_read, delete_allocations, delete_find, delete_row, delete_whole,
  neighbour_create
};

/* ------------------------------------------------------------------------
 * The database
 */

typedef Row { bool is; byte id; short gen; byte owner };
Row row;             /* of the table consumers */
bool held;           /* whether allocations refer to its uuid; a table apart */
byte last_id = 1;    /* the highest id that was given */
byte freed;          /* the id that was given back last, where that matters */

#ifdef BYSTANDER
Row other;           /* another consumer of Alice's */
#endif

short own = FIRST_OWN;
byte ops = OPS;
#ifdef HANDS
byte hands = HANDS;  /* how often the operator rolls */
#endif
byte tries = TRIES;

/* Sets of writers, a bit each. */
#if defined(ATOMIC) || defined(KEPT)
#define TOUCHES
byte untouched;      /* nothing has changed the consumer since this one was judged */
#endif
#ifdef LOST
byte seen;           /* no write has landed since this one read */
byte same;           /* the row that this one read is still there */
#endif
byte listed;         /* the allocations that this DELETE read are still there */

#define ADD(set)  set = set | (1 << who)
#define DROP(set) set = set & ~(1 << who)
#define IN(set)   ((set >> who) & 1)

inline touch() {
#ifdef TOUCHES
  untouched = 0;
#endif
  skip
}

inline add_row(number) {
  row.is = true; row.id = number; row.gen = 0; row.owner = to;
  if :: number > last_id -> last_id = number :: else -> skip fi;
  touch()
}

inline remove_row() {
#if defined(REUSE) || defined(BYSTANDER)
  freed = row.id;
#endif
  row.is = false; row.id = 0; row.gen = 0; row.owner = 0;
#ifdef LOST
  same = 0;
#endif
  touch()
}

/* ------------------------------------------------------------------------
 * A request, and what must not come of it
 */

#define REQUEST \
  mtype kind;                /* which request */ \
  byte to;                   /* the owner that it claims */ \
  short g;                   /* the generation that its body carries */ \
  mtype at;                  /* its next step; 0 when there is none */ \
  short code;                /* its answer */ \
  byte judged_id; short judged_gen; byte judged_owner;   /* by the guard */ \
  byte row_id; short gen; byte owner;      /* what ensure_consumer returned */ \
  bool made;                 /* ensure_consumer created it */ \
  bool some; byte second_id; short second_gen;           /* the second reading */ \
  bool moves; bool bad

#define CARRIES (kind == put || kind == put_empty)
#define FULL (kind == put || kind == put_old || kind == put_oldest)
#define BY_OWNERSHIP (who < OWNERS)

/* One line a step: who, what, the request, and the database after it. */
#define SHOW(step) \
  printf("@ %d %e %e %d %d %d | %d %d %d %d %d\n", \
    who, step, kind, to, g, code, row.is, row.id, row.gen, row.owner, held)

/* A step is over: the request goes on with another one, or has its answer. */
inline done(step, next) {
  SHOW(step);
  if
  :: code == 0 -> at = next
  :: else -> forget()
  fi
}

inline forget() {
#ifdef LOST
  DROP(seen); DROP(same);
#endif
#ifdef TOUCHES
  DROP(untouched);
#endif
  DROP(listed);
  kind = 0; to = 0; g = 0; at = 0; code = 0;
  judged_id = 0; judged_gen = 0; judged_owner = 0;
  row_id = 0; gen = 0; owner = 0; made = false;
  some = false; second_id = 0; second_gen = 0; moves = false
}

/* Right before a write lands on `row`. */
inline check_landing() {
#ifdef FOREIGN      /* no write by ownership lands on another's consumer */
  bad = bad || (BY_OWNERSHIP && row.owner != ALICE);
#endif
#ifdef HELD         /* none replaces another's allocations */
  bad = bad || (BY_OWNERSHIP && row.owner != ALICE && held);
#endif
#ifdef KEPT         /* nor any that have changed since it was judged */
  bad = bad || (BY_OWNERSHIP && !IN(untouched) && held);
#endif
#ifdef ATOMIC       /* none lands on what has changed since it was judged */
  bad = bad || (BY_OWNERSHIP && !IN(untouched));
#endif
#ifdef CLAIM        /* none gives the consumer away */
  bad = bad || (BY_OWNERSHIP && to != ALICE);
#endif
#ifdef LOST         /* no write replaces one that its client has not seen */
  bad = bad || (kind == put && g != NONE && IN(same) && !IN(seen));
#endif
#ifdef LOST_EMPTY   /* nor does one that empties */
  bad = bad || (kind == put_empty && g != NONE && IN(same) && !IN(seen));
#endif
#ifdef LOST_REBORN  /* nor if the row was created anew in between */
  bad = bad || (kind == put && g != NONE && !IN(seen));
#endif
#ifdef FITS         /* no counter passes its end */
  bad = bad || (kind != delete && row.gen >= LIMIT);
#endif
#ifdef REACH_LANDING
  bad = bad || BY_OWNERSHIP;
#endif
#ifdef REACH_RECREATED
  bad = bad || (BY_OWNERSHIP && row.id > 1);
#endif
  skip
}

inline remember_reading() {
#ifdef LOST
  ADD(seen); ADD(same);
#endif
  skip
}

/* ------------------------------------------------------------------------
 * Placement's steps
 */

/* ensure_consumer: get_by_uuid, and from 1.28 on the comparison. */
inline step_compare() {
  next = placement_commit;
  if
  :: row.is && (!CARRIES || row.gen == g) ->
     row_id = row.id; gen = row.gen; owner = row.owner;
     if :: !FULL -> next = placement_second_read :: else -> skip fi
  :: !row.is && (!CARRIES || g == NONE) -> next = placement_create
  :: else ->
     code = 409;
#ifdef REACH_CONFLICT
     bad = BY_OWNERSHIP;
#endif
     skip
  fi;
  done(placement_compare, next);
  assert(!bad)
}

/* _create_consumer: INSERT. */
inline step_create(number) {
  if
  :: !row.is ->
     add_row(number);
     row_id = row.id; gen = 0; owner = to; made = true;
     if :: FULL -> next = placement_commit :: else -> next = placement_second_read fi
  :: else -> next = placement_reread
  fi;
  done(placement_create, next)
}

/* Whoever loses takes what is there, and compares nothing. */
inline step_reread() {
  if
  :: row.is ->
     row_id = row.id; gen = row.gen; owner = row.owner;
     if :: FULL -> next = placement_commit :: else -> next = placement_second_read fi
  :: else -> code = 404
  fi;
  done(placement_reread, next)
}

/* get_all_by_consumer_id: what is to go, and the row that it belongs to by now. */
inline step_second_read() {
  if
  :: row.is && held -> some = true; second_id = row.id; second_gen = row.gen
  :: else -> skip
  fi;
  done(placement_second_read, placement_commit)
}

/* The transaction: update_consumers and replace_all. */
inline step_commit() {
  if :: FULL -> second_id = row_id; second_gen = gen :: else -> skip fi;
  next = 0;
  if
  :: (FULL || some) && !(row.is && row.id == second_id && row.gen == second_gen) ->
     /* ConcurrentUpdateDetected, and everything is rolled back. */
     if :: made -> next = placement_cleanup :: else -> code = 409 fi
  :: else ->
     code = 204;
     moves = to != owner && row.is && row.id == row_id && row.gen == gen;
     if :: FULL || some || moves -> check_landing() :: else -> skip fi;
     if :: moves -> row.owner = to; touch() :: else -> skip fi;
     if
     :: FULL ->
        row.gen++; held = true; listed = 0; touch();
#ifdef LOST
        seen = 0;
#endif
     :: !FULL && some -> held = false; listed = 0; remove_row()
     :: else -> skip
     fi
  fi;
  done(placement_commit, next);
  assert(!bad)
}

/* The same, but a provider is full: everything is rolled back. */
inline step_full() {
  if :: made -> next = placement_cleanup :: else -> next = 0; code = 409 fi;
  done(placement_full, next)
}

/* A failed write takes back the row that it created, whatever became of it. */
inline step_cleanup() {
  if :: row.is && row.id == row_id -> remove_row() :: else -> skip fi;
  code = 409;
  done(placement_cleanup, 0)
}

/* DELETE: get_all_by_consumer_id, */
inline step_delete_read() {
  if :: row.is && held -> ADD(listed) :: else -> code = 404 fi;
  done(delete_read, delete_allocations)
}

/* then a transaction that removes these allocations, by their ids, */
inline step_delete_allocations() {
  if
  :: IN(listed) -> check_landing(); held = false; listed = 0; touch()
  :: else -> skip
  fi;
#ifdef SPLIT
  done(delete_allocations, delete_find);
#else
  done(delete_allocations, delete_row);
#endif
  assert(!bad)
}

/* and a transaction that removes the row, by its uuid: a SELECT, a DELETE. */
inline step_delete_find() {
  some = row.is && !held;
  done(delete_find, delete_row)
}

inline step_delete_row() {
#ifndef SPLIT
  some = row.is && !held;
#endif
  if :: some && row.is -> remove_row() :: else -> skip fi;
  code = 204;
  done(delete_row, 0)
}

/* What DELETE is not: one step. */
inline step_delete_whole() {
  if
  :: row.is && held ->
     check_landing(); held = false; listed = 0; remove_row(); code = 204
  :: else -> code = 404
  fi;
  done(delete_whole, 0);
  assert(!bad)
}

#ifdef WHOLE
#define FIRST_OF_DELETE delete_whole
#else
#define FIRST_OF_DELETE delete_read
#endif
#define FIRST_OF_PLACEMENT (kind == delete -> FIRST_OF_DELETE : placement_compare)

/* ------------------------------------------------------------------------
 * The guard's steps
 */

inline demand(condition, answer) {
  if :: code == 0 && !(condition) -> code = answer :: else -> skip fi
}

/* The look-up, the rulings on the recorded and on the claimed owner, the seal. */
inline step_judge() {
  judged_id = row.id; judged_gen = row.gen; judged_owner = row.owner;
#ifdef TOUCHES
  ADD(untouched);
#endif
#ifndef M_DELETE
  demand(kind != delete, 403);
#endif
#ifndef M_OLD
  demand(kind != put_old, 403);
#endif
#ifndef M_EMPTY
  demand(kind != put_empty, 403);
#endif
#ifndef M_ABSENT
  demand(row.is, 403);
#endif
#ifndef M_NOBODY
  demand(!row.is || row.owner != NOBODY, 403);
#endif
#ifndef M_RECORDED
  demand(!row.is || row.owner == ALICE || row.owner == NOBODY, 403);
#endif
#ifndef M_ALLOCATIONS
  demand(!row.is || held, 403);
#endif
#ifndef M_CLAIMED
  demand(to == ALICE, 403);
#endif
#ifndef M_GENERATION
  demand(!CARRIES || (row.is && g == row.gen) || (!row.is && g == NONE), 409);
#endif
#ifdef M_SWAP
  done(owner_judge, FIRST_OF_PLACEMENT)
#else
  done(owner_judge, (CARRIES && row.is -> owner_swap : FIRST_OF_PLACEMENT))
#endif
}

/* What the compare-and-swap compares. */
#ifdef M_SWAP_ID
#define SAME_ID true
#else
#define SAME_ID row.id == judged_id
#endif
#ifdef M_SWAP_GENERATION
#define SAME_GENERATION true
#else
#define SAME_GENERATION row.gen == judged_gen
#endif
#ifdef M_SWAP_OWNER
#define SAME_OWNER true
#else
#define SAME_OWNER row.owner == judged_owner
#endif
#ifdef M_SWAP_HELD
#define STILL_HELD true
#else
#define STILL_HELD held
#endif
#define HITS_OTHER \
  (other.is && other.id == judged_id && other.gen == judged_gen \
   && other.owner == judged_owner)

/* The compare-and-swap on all that was judged; the write carries on with it. */
inline step_swap() {
  if
  :: row.is && SAME_ID && SAME_GENERATION && SAME_OWNER && STILL_HELD ->
     row.gen = own; g = own; own = own - SPACING
  :: else ->
#ifndef M_SWAP_LOST
     code = 409;
#endif
#ifdef REACH_SWAP_LOST
     bad = true;
#endif
#if defined(BYSTANDER) && defined(M_SWAP_UUID)
     /* The row of another consumer is hit, and its generation moved. */
     bad = HITS_OTHER;
#endif
     skip
  fi;
  done(owner_swap, FIRST_OF_PLACEMENT);
  assert(!bad)
}

#define NEAR(value) (value >= LIMIT || (FULL && value >= LIMIT - RESERVE))

/* For a role-holder: is the counter near its end? */
inline step_role_judge() {
  judged_id = row.id; judged_gen = row.gen;
  if :: kind == roll && !row.is -> code = 404 :: else -> skip fi;
  done(role_judge, (kind == roll || row.is && NEAR(row.gen) && (!CARRIES || row.gen == g)
                    -> role_swap : placement_compare))
}

inline step_role_swap() {
  if
#ifdef M_ROLL
  :: row.is ->
#else
  :: row.is && row.gen == judged_gen ->
#endif
     if  /* by hand: once to TO, then to a value of the guard's own */
     :: kind == roll && row.gen < 0 -> row.gen = own; own = own - SPACING
     :: else -> row.gen = TO
     fi;
#ifdef REACH_ROLL
     bad = true;
#endif
     if :: CARRIES -> g = TO :: kind == roll -> code = 204 :: else -> skip fi
  :: else -> code = 409
  fi;
  done(role_swap, placement_compare);
  assert(!bad)
}

/* ------------------------------------------------------------------------
 * Who writes
 */

/* The owner has read the consumer, through the guard. */
inline step_owner_read() {
  g = row.gen;
  remember_reading();
  done(owner_read, owner_judge)
}

/* A role-holder has read it. */
inline step_role_read() {
  if
  :: row.is && held -> g = row.gen; remember_reading()
#ifndef LOST
  /* No answer shows it, but a counter can be known otherwise. */
  :: row.is && !held -> g = row.gen
#endif
  :: else -> g = NONE
  fi;
#ifdef ROLL
  done(role_read, (g != NONE && NEAR(g) -> role_judge : placement_compare))
#else
  done(role_read, placement_compare)
#endif
}

inline start_as_owner() {
  tries--;
  to = ALICE;
  if
#ifdef READS
  :: row.is && row.owner == ALICE && held -> kind = put; at = owner_read
#endif
#ifdef GUESSES
  /* The worst owner knows each generation, however it was read. */
  :: row.is -> kind = put; g = row.gen; at = owner_judge
#endif
#ifdef LIKELY
  /* Chance takes one in so many. */
  :: row.is && row.owner == ALICE && held -> kind = put; at = owner_read
  :: row.is && row.owner == ALICE && held -> kind = put; at = owner_read
  :: row.is && row.owner == ALICE && held -> kind = put; g = row.gen; at = owner_judge
  :: row.is && row.owner == ALICE && held -> kind = put; g = row.gen; at = owner_judge
#endif
#if defined(ALLKINDS) || defined(M_EMPTY)
  :: row.is -> kind = put_empty; g = row.gen; at = owner_judge
#endif
#if defined(ALLKINDS) || defined(M_OLD)
  :: kind = put_old; at = owner_judge
#endif
#if defined(ALLKINDS) || defined(M_DELETE)
  :: kind = delete; at = owner_judge
#endif
#if defined(ALLKINDS) || defined(M_CLAIMED)
  :: row.is -> kind = put; g = row.gen; to = BOB; at = owner_judge
#endif
#if defined(ALLKINDS) || defined(M_ABSENT)
  :: kind = put; g = NONE; at = owner_judge
#endif
  fi;
  if
  :: at == owner_read -> d_step { step_owner_read() }
  :: else -> d_step { step_judge() }
  fi
}

inline start_as_role() {
  ops--;
  if
  :: kind = delete; at = FIRST_OF_DELETE
  :: kind = put; at = role_read
  :: kind = put_empty; at = role_read
#ifndef MODERN
#if defined(ROLL) && !defined(M_WATCH)
  :: kind = put_old; at = role_judge
  :: kind = put_oldest; at = role_judge
  :: kind = post_old_empty; at = role_judge
#else
  :: kind = put_old; at = placement_compare
  :: kind = put_oldest; at = placement_compare
  :: kind = post_old_empty; at = placement_compare
#endif
#endif
#ifdef HANDS
  :: hands > 0 -> hands--; kind = roll; at = role_judge
#endif
  fi;
  if
  :: kind == delete || kind == roll
  :: kind == put_oldest -> to = NOBODY
  :: kind != delete && kind != roll && kind != put_oldest -> to = ALICE
  :: kind == put || kind == put_empty || kind == post_old_empty -> to = BOB
#ifdef ALLKINDS
  /* To Alice it makes no difference whether it is Bob's or nobody's. */
  :: kind == put_old -> to = BOB
#endif
  fi;
  if
  :: at == role_read -> d_step { step_role_read() }
  :: at == role_judge -> d_step { step_role_judge() }
  :: at == placement_compare -> d_step { step_compare() }
  :: at == delete_read -> d_step { step_delete_read() }
  :: at == delete_whole -> d_step { step_delete_whole() }
  fi
}

proctype Writer(byte who) {
  REQUEST;
  mtype next;
end:
  do
  :: atomic { at == 0 && BY_OWNERSHIP && tries > 0 -> start_as_owner() }
  :: atomic { at == 0 && !BY_OWNERSHIP && ops > 0 -> start_as_role() }
  :: d_step { at == owner_judge -> step_judge() }
  :: d_step { at == owner_swap -> step_swap() }
  :: d_step { at == role_judge -> step_role_judge() }
  :: d_step { at == role_swap -> step_role_swap() }
  :: d_step { at == placement_compare -> step_compare() }
  :: d_step { at == placement_create -> step_create(last_id + 1) }
#ifdef REUSE
  :: d_step { at == placement_create && freed && !row.is -> step_create(freed) }
#endif
  :: d_step { at == placement_reread -> step_reread() }
  :: d_step { at == placement_second_read -> step_second_read() }
  :: d_step { at == placement_commit -> step_commit() }
#ifdef CAPACITY
  :: d_step { at == placement_commit && FULL -> step_full() }
#endif
  :: d_step { at == placement_cleanup -> step_cleanup() }
#ifdef WHOLE
  :: d_step { at == delete_whole -> step_delete_whole() }
#else
  :: d_step { at == delete_read -> step_delete_read() }
  :: d_step { at == delete_allocations -> step_delete_allocations() }
#ifdef SPLIT
  :: d_step { at == delete_find -> step_delete_find() }
#endif
  :: d_step { at == delete_row -> step_delete_row() }
#endif
  od
}

#ifdef BYSTANDER
/* SQLite gives a freed id to the next row, whichever consumer's it is. */
proctype Neighbour() {
  byte who = 9; mtype kind; byte to; short g; byte code;
end:
  d_step {
    freed && !row.is ->
    other.is = true; other.id = freed; other.gen = START; other.owner = ALICE;
    freed = 0;
    SHOW(neighbour_create)
  }
}
#endif

init {
  atomic {
    row.is = true; row.id = 1; row.gen = START; row.owner = ALICE; held = true;
    run Writer(0);
    run Writer(1);
#if OWNERS + ROLES > 2
    run Writer(2);
#endif
#if OWNERS + ROLES > 3
    run Writer(3);
#endif
#ifdef BYSTANDER
    run Neighbour()
#endif
  }
}
