/* The protocol of FORMAT.md 1.1, 5 and 10.1 for Spin: hosts store and keepers delete at the same time.
   `make model` (run.py beside this) tries every order of steps in some small worlds, and every MUTANT_
   below, each of which breaks one rule and must be found to lose data.

   One host. Bit x of a mask is an object of old snapshot x (x < NO), or of session x - NO: its pack in
   `packs`, its root in `roots`. A step of a program is one request, or what needs none; between any two
   any other program may go on, or this one may stop for ever. What the model leaves out makes it
   stricter: no keeper waits before it deletes, and only with CHECKPOINTS, which let the log forget
   sweeps, a host looks before it commits whether what it relies on is there. */

#ifndef NO
#define NO 1          /* old snapshots, each with one pack */
#endif
#ifndef NW
#define NW 1          /* programs of the host that write */
#endif
#ifndef SPW
#define SPW 2         /* sessions of each, one after the other */
#endif
#ifndef NK
#define NK 1          /* keepers */
#endif
#ifndef ROUNDS
#define ROUNDS 1      /* of each keeper */
#endif
#ifndef FORGETS
#define FORGETS 1
#endif
#ifndef FORGOTTEN
#define FORGOTTEN 0   /* old snapshots that were forgotten before */
#endif
#ifndef RECALLS
#define RECALLS 1
#endif
#define NS (NW*SPW)
#define NC (NK*ROUNDS)
#define BIT(x) (1<<(x))
#define OWN(s) BIT(NO+(s))
#define OLD (BIT(NO)-1)
#define EACH(x, n) x=0; do :: x<(n) ->
#define NEXT(x) x++ :: else -> break od; x=0

/* The backend. */
byte packs=OLD, roots=OLD, intents, closed;   /* closed: outcomes `superseded` and `revoked` */
byte refs[NS];                                /* in the root of a session */
byte seen[NS];                                /* in its intent: condemnations known (log_seen) */
byte made=OLD;                                /* snapshots that were ever committed */

/* The log. A condemnation that was swept keeps here what the sweep names. */
byte entries, condemned;
byte cpacks[NC], croots[NC], swept;
byte forgotten=FORGOTTEN;
byte blocked, gonepacks, goneroots;           /* folded: blocked packs; packs and roots that sweeps name */

#define OUTCOMES (roots|closed)
#define ENDED (roots|closed|forgotten)

#ifdef MUTANT_ADOPT_BLOCKED
#define ADOPTION_OBEYS 0
#else
#define ADOPTION_OBEYS view
#endif
#ifdef MUTANT_SEEN_ANYTHING
#define KNEW(s, n) (seen[s]>0)
#else
#define KNEW(s, n) (seen[s]>(n))
#endif

byte f, g;            /* for counting within one step */
inline fold() {
  blocked=0; gonepacks=0; goneroots=0;
  EACH(f, condemned)
    blocked = blocked | cpacks[f];
    if :: swept & BIT(f) -> gonepacks = gonepacks | cpacks[f]; goneroots = goneroots | croots[f] :: else fi;
  NEXT(f)
}
/* What a restore of every live snapshot needs is there. */
inline check() {
  assert((made & ~forgotten & ~roots)==0);
  assert((OLD & ~forgotten & ~packs)==0);
  EACH(g, NS)
    assert(!(made & ~forgotten & OWN(g)) || (refs[g] & ~packs)==0);
  NEXT(g)
}
inline close(s) { if :: !(OUTCOMES & OWN(s)) -> closed = closed | OWN(s) :: else fi }

proctype writer(byte w) {
  byte i, s, view, use, lost;
  do
  :: i<SPW ->
     s=w*SPW+i;
#ifdef MUTANT_LOG_BEFORE_INTENT
     view=blocked;
#endif
     atomic { intents = intents | OWN(s); if :: seen[s]=condemned :: true fi };
#ifndef MUTANT_LOG_BEFORE_INTENT
     view=blocked;
#endif
     atomic { if :: packs = packs | OWN(s); use=OWN(s) :: true fi };
     atomic {                               /* what is in a live snapshot, by the index of this machine */
       if :: !(view & 1) -> use = use | 1 :: true fi;
#if NO>1
       if :: !(view & 2) -> use = use | 2 :: true fi;
#endif
       if :: i>0 && (roots & OWN(s-1)) && !(view & refs[s-1]) -> use = use | refs[s-1] :: true fi
     };
     if
     :: i>0 -> atomic { if :: close(s-1) :: true fi };       /* adopt a session that died */
        atomic {
          if
          :: (closed & packs & OWN(s-1)) && !(ADOPTION_OBEYS & OWN(s-1)) -> use = use | OWN(s-1)
          :: true
          fi
        }
     :: else
     fi;
#if defined(CHECKPOINTS) && !defined(MUTANT_NO_REFERENCE_CHECK)
     lost = use & ~packs;
#endif
     if
     :: true                                                /* it died */
     :: !lost -> atomic {
#ifndef MUTANT_UNCONDITIONAL_COMMIT
          if :: !(OUTCOMES & OWN(s)) ->
#endif
          roots = roots | OWN(s); made = made | OWN(s); refs[s]=use; check()
#ifndef MUTANT_UNCONDITIONAL_COMMIT
          :: else fi
#endif
        }
#ifdef RETRY
        /* The request, sent twice, arrives once more. */
        ; atomic {
          if :: (made & OWN(s)) && !(OUTCOMES & OWN(s)) -> roots = roots | OWN(s); check() :: true fi
        }
#endif
     fi;
     atomic { view=0; use=0; lost=0; s=0; i++ }
  :: else -> break
  od
}

/* Of the snapshots that the log as it was read does not forget: what they need, one root at a time. */
inline references() {
  need = OLD & ~dead; s=0;
  do
  :: s<NS -> atomic { if :: (roots & OWN(s)) && !(dead & OWN(s)) -> need = need | refs[s] :: else fi; s++ }
  :: else -> break
  od;
  s=0
}

proctype keeper() {
  byte round, s, n, dead, need, can, cp, cr, open, last;
  do
  :: round<ROUNDS ->
     if
     :: /* Steps 1 and 2: log, roots, outcomes, packs, one after the other */
        dead=forgotten;
        references();
        can = OLD|ENDED;
        atomic {
          n=condemned; cp = packs & can & ~need; cr = roots & dead; can=0; need=0; dead=0;
          cpacks[n]=cp; croots[n]=cr; condemned++; entries++; fold()
        }
#if NK>1
     :: /* What another keeper, perhaps dead, has condemned */
        atomic { condemned>0 && !(swept & 1) -> n=0; cp=cpacks[0]; cr=croots[0] }
#endif
     fi;
     /* Step 3 */
#ifndef MUTANT_NO_WAIT
     do
     :: s<NS -> atomic {
          if
          :: (intents & OWN(s)) && !(ENDED & OWN(s)) && !KNEW(s, n) -> open = open | OWN(s)
          :: else
          fi;
          s++ }
     :: else -> break
     od;
     s=0;
#ifdef MUTANT_STALE_LIST
     if :: open=0 :: true fi;
#endif
     do
     :: s<NS -> atomic {                                    /* close it, or wait for its end */
          if :: (open & OWN(s)) && !(ENDED & OWN(s)) -> if :: close(s) :: ENDED & OWN(s) fi :: else fi;
          s++ }
     :: else -> break
     od;
     atomic { s=0; open=0 };
#endif
     /* Step 4 */
     do
     :: atomic { dead=forgotten; last=entries };
        if
#ifndef MUTANT_SECOND_SWEEP_COUNTS
        :: swept & BIT(n) -> break
#endif
        :: else
        fi;
#ifndef MUTANT_NO_SECOND_LOOK
        references();
#else
        need = OLD & ~dead;
#endif
        atomic {
          if
#ifndef MUTANT_SWEEP_OUT_OF_ORDER
          :: entries!=last -> need=0
#endif
          :: else ->
             entries++;
#ifdef MUTANT_SHARED_RESCUE
             EACH(s, condemned) cpacks[s] = cpacks[s] & ~need; NEXT(s);
#endif
             if
             :: !(swept & BIT(n)) -> cpacks[n] = cp & ~need; croots[n] = cr & dead
#ifdef MUTANT_SECOND_SWEEP_COUNTS
             :: else -> cpacks[n] = cpacks[n] | (cp & ~need); croots[n] = croots[n] | (cr & dead)
#else
             :: else
#endif
             fi;
             swept = swept | BIT(n); fold();
             break
          fi
        }
     od;
     atomic { n=0; dead=0; need=0; cp=0; cr=0; last=0; round++ };
#ifdef MUTANT_DELETE_CLOSED
     atomic { intents = intents & ~closed; closed=0 };
#endif
  :: else -> break
  od
}

/* Step 5: any keeper, in any order, at any time, or never. */
proctype deleter() {
  byte x;
#ifdef MUTANT_ROOTS_WITHOUT_SWEEP
  byte old;
#endif
end:
  do
  :: atomic {
       gonepacks & packs ->
       do
       :: !(gonepacks & packs & BIT(x)) || (gonepacks & packs & ~(BIT(x+1)-1)) -> x++   /* a later one */
       :: gonepacks & packs & BIT(x) -> break
       od;
       packs = packs & ~BIT(x); check();
#ifdef MUTANT_DROP_SWEEPS
       f=0; do :: f<condemned -> cpacks[f] = cpacks[f] & ~BIT(x); f++ :: else -> break od; f=0; fold();
#endif
       x=0
     }
  :: atomic { goneroots & roots -> roots = roots & ~goneroots; check() }
#ifdef CHECKPOINTS
  /* All that a sweep names is deleted: a checkpoint leaves it out. */
  :: atomic {
       (gonepacks|goneroots) && !(gonepacks & packs) && !(goneroots & roots) ->
       EACH(x, condemned) if :: swept & BIT(x) -> cpacks[x]=0; croots[x]=0 :: else fi; NEXT(x);
       entries++; fold()
     }
#endif
#ifdef MUTANT_ROOTS_WITHOUT_SWEEP
  :: forgotten & roots -> old=forgotten; atomic { roots = roots & ~old; old=0; check() }
#endif
  od
}

proctype forgetter() {
  byte count, x;
  do
  :: count<FORGETS -> atomic {
       do :: x<NO+NS-1 -> x++ :: break od;
       if :: made & roots & ~forgotten & BIT(x) -> forgotten = forgotten | BIT(x); entries++ :: else fi;
       x=0; count++ }
  :: else -> break
  od
}

#define REFS(x) (x<NO -> BIT(x) : refs[x-NO])
proctype recaller() {
  byte count, x, last;
end:
  do
  :: forgotten && count<RECALLS ->
     atomic { do :: x<NO+NS-1 -> x++ :: forgotten & BIT(x) -> break :: x==NO+NS-1 -> break od };
     do
     :: atomic {
          last=entries;
          if
          :: !(forgotten & BIT(x)) -> break
#ifndef MUTANT_RECALL_SWEPT
          :: (forgotten & BIT(x)) && ((goneroots & BIT(x)) || (gonepacks & REFS(x))) -> break
#endif
          :: else
          fi };
#ifdef MUTANT_RECALL_UNSEEN
        atomic { if :: !(roots & BIT(x)) -> break :: else fi };
#else
        atomic { if :: !(roots & BIT(x)) || (REFS(x) & ~packs) -> break :: else fi };
#endif
        atomic {
          if
#ifndef MUTANT_RECALL_OUT_OF_ORDER
          :: entries!=last
#endif
          :: else -> forgotten = forgotten & ~BIT(x); entries++; check(); break
          fi }
     od;
     atomic { last=0; x=0; count++ }
  :: count==RECALLS -> break
  od
}

init {
  byte n;
  atomic {
    do :: n<NW -> run writer(n); n++ :: else -> break od; n=0;
    do :: n<NK -> run keeper(); n++ :: else -> break od; n=0;
    run deleter();
#if FORGETS
    run forgetter();
#endif
#if RECALLS
    run recaller();
#endif
  }
}
