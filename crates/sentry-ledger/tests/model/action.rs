//! What can happen next.

use std::fmt;

use crate::setup::{OWNERS, Outcome};

/// How a step of a function ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// As it should.
    Well,
    /// It happens, but the function crashes before it knows; the workflow calls it again.
    Crash,
    /// It happens, and the execution dies.
    Death,
    /// It happens, and once more at any time.
    Twice,
    /// It happens at any later time; the function has given up waiting, and the workflow calls it again.
    Late,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Execution starts and reads CloudWatch.
    Start(usize),
    /// Reserve notes the request; `Some` shard for a scope that is spread.
    Register(usize, Vec<Option<u8>>, Fate),
    /// Reserve tries to write the hold.
    Write(usize, Fate),
    /// Reserve reads every scope and judges.
    Look(usize, Fate),
    /// Reserve settles an expired hold, or renews a lease.
    Change(usize, Fate),
    /// Reserve forgets the request that it denies.
    Deny(usize, Fate),
    /// The workflow gives up on Reserve and cancels.
    GiveUp(usize),
    /// Cancel reads every scope.
    CancelLook(usize, Fate),
    /// Cancel gives a hold back, or, when there is none left, forgets the request.
    Cancel(usize, Fate),
    /// The model is called.
    Call(usize, Outcome),
    /// Settle settles a scope.
    Settle(usize, usize, Fate),
    /// Settle forgets the request on which nothing was spent, and ends.
    Settled(usize, Fate),
    /// The sweeper settles one of the expired holds.
    Sweep(usize),
    /// A late write arrives.
    Arrive(usize),
    /// CloudWatch shows so many tokens.
    Publish(u64),
    /// A token goes round the sentry.
    Bypass,
    /// Time passes.
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
            Self::Look(c, fate) => write!(f, "{} looks and judges{fate}", who(c)),
            Self::Change(c, fate) => write!(f, "{} settles an expired hold or renews a lease{fate}", who(c)),
            Self::Deny(c, fate) => write!(f, "{} is denied and forgets the request{fate}", who(c)),
            Self::GiveUp(c) => write!(f, "{} gives up on Reserve", who(c)),
            Self::CancelLook(c, fate) => write!(f, "{} looks what to cancel{fate}", who(c)),
            Self::Cancel(c, fate) => write!(f, "{} cancels{fate}", who(c)),
            Self::Call(c, outcome) => write!(f, "{} calls the model: {outcome:?}", who(c)),
            Self::Settle(c, place, fate) => write!(f, "{} settles scope {place}{fate}", who(c)),
            Self::Settled(c, fate) => write!(f, "{} ends its settlement{fate}", who(c)),
            Self::Sweep(number) => write!(f, "the sweeper settles expired hold {number}"),
            Self::Arrive(number) => write!(f, "late write {number} arrives"),
            Self::Publish(tokens) => write!(f, "CloudWatch shows {tokens}"),
            Self::Bypass => write!(f, "a token goes round the sentry"),
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
        })
    }
}
