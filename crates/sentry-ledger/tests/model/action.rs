//! The actions that can happen next.

use std::fmt;

use crate::setup::{OWNERS, Outcome};

/// The ways in which a step of a function can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The step happens, and the function learns of it.
    Well,
    /// The step happens, but the function crashes before it learns of it. The workflow calls the function again.
    Crash,
    /// The step happens, and the execution dies.
    Death,
    /// The step happens, and happens once more at any later time.
    Twice,
    /// The step happens at any later time. The function has given up waiting, and the workflow calls it again.
    Late,
    /// The step happens at any later time. The function continues without an answer.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An execution starts and reads CloudWatch.
    Start(usize),
    /// Reserve registers the request, and chooses the items to try first.
    Register(usize, Vec<Option<u16>>, Fate),
    /// Reserve tries to write the hold.
    Write(usize, Fate),
    /// Reserve reads one more item, and judges after the last one.
    Look(usize, Fate),
    /// Reserve settles an expired hold, renews or closes a lease, or changes the number of shards.
    Change(usize, Fate),
    /// Reserve forgets the request that it denies.
    Deny(usize, Fate),
    /// The workflow gives up on Reserve and cancels.
    GiveUp(usize),
    /// The execution that gives up is barred from one more item.
    Bar(usize, Fate),
    /// The execution that gives up gives a hold back. If none is left, it gives up the request.
    Cancel(usize, Fate),
    /// The model is called.
    Call(usize, Outcome),
    /// Settle settles a scope.
    Settle(usize, usize, Fate),
    /// Settle ends. If nothing was spent, it forgets the request.
    Settled(usize, Fate),
    /// Settle fails, and leaves the settlement to the queue.
    Queue(usize),
    /// A message of the queue settles a scope.
    Deliver(usize, usize),
    /// The sweeper settles one of the expired holds.
    Sweep(usize),
    /// The sweeper reads a due item: the own item of a limit, or a shard.
    SweepLook(usize, Option<u16>),
    /// The sweeper writes the changes that follow from the item.
    SweepWrite,
    /// A scope is spread over another number of shards.
    Spread(usize, u16),
    /// The first leases of new shards are made.
    Open,
    /// A late write arrives.
    Arrive(usize),
    /// CloudWatch shows this number of tokens.
    Publish(u64),
    /// A token bypasses the sentry.
    Bypass,
    /// The clock advances by one tick.
    Tick,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |number: &usize| OWNERS[*number];
        match self {
            Self::Start(c) => write!(f, "{} starts and reads CloudWatch", who(c)),
            Self::Register(c, places, fate) => match places.iter().flatten().next() {
                Some(shard) => write!(f, "{} notes the request, picks shard {shard}{fate}", who(c)),
                None => write!(f, "{} notes the request{fate}", who(c)),
            },
            Self::Write(c, fate) => write!(f, "{} writes its hold{fate}", who(c)),
            Self::Look(c, fate) => write!(f, "{} reads on, and judges in the end{fate}", who(c)),
            Self::Change(c, fate) => write!(f, "{} settles an expired hold or changes a lease{fate}", who(c)),
            Self::Deny(c, fate) => write!(f, "{} is denied and forgets the request{fate}", who(c)),
            Self::GiveUp(c) => write!(f, "{} gives up on Reserve", who(c)),
            Self::Bar(c, fate) => write!(f, "{} is barred from an item{fate}", who(c)),
            Self::Cancel(c, fate) => write!(f, "{} gives a hold back, or lets go of the request{fate}", who(c)),
            Self::Call(c, outcome) => write!(f, "{} calls the model: {outcome:?}", who(c)),
            Self::Settle(c, place, fate) => write!(f, "{} settles scope {place}{fate}", who(c)),
            Self::Settled(c, fate) => write!(f, "{} ends its settlement{fate}", who(c)),
            Self::Queue(c) => write!(f, "{} fails to settle and leaves it to the queue", who(c)),
            Self::Deliver(c, place) => write!(f, "the queue settles scope {place} for {}", who(c)),
            Self::Sweep(number) => write!(f, "the sweeper settles expired hold {number}"),
            Self::SweepLook(place, None) => write!(f, "the sweeper reads scope {place}"),
            Self::SweepLook(place, Some(shard)) => write!(f, "the sweeper reads shard {shard} of scope {place}"),
            Self::SweepWrite => write!(f, "the sweeper writes what follows"),
            Self::Spread(place, to) => write!(f, "scope {place} is spread over {to}"),
            Self::Open => write!(f, "the new shards are leased"),
            Self::Arrive(number) => write!(f, "late write {number} arrives"),
            Self::Publish(tokens) => write!(f, "CloudWatch shows {tokens}"),
            Self::Bypass => write!(f, "a token bypasses the sentry"),
            Self::Tick => write!(f, "time passes"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Well => "",
            Self::Crash => ", and crashes before it knows",
            Self::Death => ", and dies",
            Self::Twice => ", and the write is repeated later",
            Self::Late => ", but the write is late, and it crashes",
            Self::Unknown => ", but the write is late, and it goes on",
        })
    }
}
