//! The protocol as a state machine: the possible steps of a state, and the state after each of them.

use sentry_domain::Amount;
use sentry_ledger::Budget;
use sentry_ledger::change::Change;
use sentry_ledger::steps::{Key, opened, settlements};
use stateright::{Model, Property};

use crate::action::{Action, Fate};
use crate::setup::{Outcome, SHARDS, Setup, at};
use crate::world::{By, Changes, End, Look, Phase, World};
use crate::{giving_up, properties, reserve, sweeper};

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for number in 0..world.clients.len() {
            self.steps(world, number, actions);
        }
        sweeper::steps(self, world, actions);
        actions.extend((!world.opening.is_empty()).then_some(Action::Open));
        if world.spreads > 0 {
            let scopes = self.limits.iter().zip(&world.scopes).enumerate();
            let spread = scopes.filter(|(_, (limit, _))| self.may_spread(limit));
            actions.extend(
                spread.map(|(place, (_, items))| {
                    Action::Spread(place, if items.own.spread < SHARDS { SHARDS } else { 1 })
                }),
            );
        }
        actions.extend((0..world.late.len()).map(Action::Arrive));
        if let Some(most) = self.bypass {
            actions.extend((world.cloud + 1..=world.produced()).map(Action::Publish));
            actions.extend((world.bypass < most).then_some(Action::Bypass));
        }
        actions.extend((world.clock < self.last_tick).then_some(Action::Tick));
    }

    #[expect(clippy::too_many_lines, reason = "one arm an action")]
    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Start(number) => {
                let client = &mut next.clients[number];
                (client.phase, client.born, client.seen) = (Phase::Register { again: false }, world.clock, world.cloud);
            }
            Action::Register(number, places, fate) => {
                reserve::register(self, &mut next, number, places);
                self.end(&mut next, number, fate, None);
            }
            Action::Write(number, fate @ (Fate::Late | Fate::Unknown)) => {
                let changes = reserve::changes(self, &next.clients[number], number)?;
                next.clients[number].uncertain = true;
                next.clients[number].phase = Phase::Look(Look::default());
                self.end(&mut next, number, fate, Some(changes));
            }
            Action::Write(number, fate) => {
                let changes = reserve::changes(self, &next.clients[number], number);
                reserve::write(self, &mut next, number);
                self.end(&mut next, number, fate, changes);
            }
            Action::Look(number, fate) => {
                reserve::look(self, &mut next, number);
                self.end(&mut next, number, fate, None);
            }
            Action::Change(number, fate) => {
                reserve::change(self, &mut next, number);
                self.end(&mut next, number, fate, None);
            }
            Action::Deny(number, fate) => {
                let Phase::Deny(denial) = next.clients[number].phase.clone() else { return None };
                self.forget(&mut next, number);
                next.clients[number].phase = Phase::Over(End::Denied(denial));
                self.end(&mut next, number, fate, None);
            }
            Action::GiveUp(number) => giving_up::start(self, &mut next, number, None),
            Action::Bar(number, fate) => {
                giving_up::bar(self, &mut next, number);
                self.end(&mut next, number, fate, None);
            }
            Action::Cancel(number, fate) => {
                let message = giving_up::next(&next, number);
                if let Some(message) = message.as_ref().filter(|_| fate != Fate::Late) {
                    next.make(self, message, By::Owner);
                }
                giving_up::end(self, &mut next, number);
                self.end(&mut next, number, fate, message);
            }
            Action::Call(number, outcome) => {
                let client = &mut next.clients[number];
                let (spent, known) = match outcome {
                    Outcome::Nothing => (0, true),
                    Outcome::Less => (1, true),
                    Outcome::All => (client.max_tokens, true),
                    Outcome::UnknownNothing => (0, false),
                    Outcome::UnknownAll => (client.max_tokens, false),
                };
                client.spent = Some(spent);
                client.phase = if known { Phase::Settle { actual: spent, done: 0 } } else { Phase::Over(End::Unknown) };
            }
            Action::Settle(number, place, fate) => {
                let Phase::Settle { actual, done } = next.clients[number].phase else { return None };
                let message = vec![self.settlement(&next, number, place, actual)];
                if fate != Fate::Late {
                    next.make(self, &message, By::Owner);
                }
                next.clients[number].phase = Phase::Settle { actual, done: done | 1 << place };
                self.end(&mut next, number, fate, Some(message));
            }
            Action::Settled(number, fate) => {
                let Phase::Settle { actual, .. } = next.clients[number].phase else { return None };
                if actual == 0 {
                    self.forget(&mut next, number);
                }
                next.clients[number].phase = Phase::Over(End::Answered);
                if fate == Fate::Crash {
                    next.crashes -= 1;
                    next.clients[number].phase = Phase::Settle { actual, done: 0 };
                }
            }
            Action::Queue(number) => {
                let Phase::Settle { actual, .. } = next.clients[number].phase else { return None };
                next.clients[number].phase = Phase::Queued { actual, done: 0, left: 2 };
            }
            Action::Deliver(number, place) => self.deliver(&mut next, number, place),
            Action::Sweep(number) => sweeper::settle(self, &mut next, number),
            Action::SweepLook(place, shard) => sweeper::look(self, &mut next, place, shard),
            Action::SweepWrite => sweeper::write(self, &mut next),
            Action::Spread(place, to) => {
                let (from, now_ms) = (next.scopes[place].own.spread, next.now_ms());
                let change = Change::Spread { from, to, now_ms, settled_since_ms: now_ms };
                next.spreads -= 1;
                if next.make(self, &[(Key::of(&self.limits[place], None), change)], By::Other) {
                    let hold = self.ask(0, &next.clients[0]).hold(self.requests[0].tokens);
                    let budget = Budget { limit: &self.limits[place], seen: Amount::ZERO };
                    next.opening = opened(budget, &next.scopes[place].own, &hold, now_ms);
                }
            }
            Action::Open => {
                let changes = next.opening.remove(0);
                next.make(self, &changes, By::Other);
            }
            Action::Arrive(number) => {
                let changes = next.late.remove(number);
                next.make(self, &changes, By::Owner);
            }
            Action::Publish(tokens) => next.cloud = tokens,
            Action::Bypass => next.bypass += 1,
            Action::Tick => self.tick(&mut next),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

impl Setup {
    /// The next steps that one execution can take.
    fn steps(&self, world: &World, number: usize, actions: &mut Vec<Action>) {
        let crash = (world.crashes > 0).then_some([Fate::Crash, Fate::Death]).into_iter().flatten();
        let read: Vec<Fate> = std::iter::once(Fate::Well).chain(crash).collect();
        let late = (world.delays > 0).then_some([Fate::Twice, Fate::Late]).into_iter().flatten();
        let written: Vec<Fate> = read.iter().copied().chain(late).collect();
        let push = |fates: &[Fate], action: &dyn Fn(Fate) -> Action, actions: &mut Vec<Action>| {
            actions.extend(fates.iter().map(|fate| action(*fate)));
        };
        match &world.clients[number].phase {
            Phase::Idle if world.clock <= self.last_start => actions.push(Action::Start(number)),
            Phase::Idle | Phase::Over(_) => {}
            Phase::Register { again } => {
                for places in self.places(number, world.clients[number].born, &world.scopes) {
                    push(&read, &|fate| Action::Register(number, places.clone(), fate), actions);
                }
                actions.extend(again.then_some(Action::GiveUp(number)));
            }
            Phase::Write => {
                // A hold is written with one attempt, because the DynamoDB client does not retry it.
                let late = (world.delays > 0).then_some([Fate::Late, Fate::Unknown]).into_iter().flatten();
                let fates: Vec<Fate> = read.iter().copied().chain(late).collect();
                push(&fates, &|fate| Action::Write(number, fate), actions);
            }
            Phase::Look(_) => push(&read, &|fate| Action::Look(number, fate), actions),
            Phase::Change(_) => push(&read, &|fate| Action::Change(number, fate), actions),
            Phase::Deny(_) => push(&read, &|fate| Action::Deny(number, fate), actions),
            Phase::GivingUp(giving_up) if !giving_up.bars.is_empty() => {
                push(&read, &|fate| Action::Bar(number, fate), actions);
            }
            Phase::GivingUp(giving_up) => {
                let fates = if giving_up.changes.is_empty() { &read } else { &written };
                push(fates, &|fate| Action::Cancel(number, fate), actions);
            }
            Phase::Model => actions.extend(self.outcomes.iter().map(|outcome| Action::Call(number, *outcome))),
            Phase::Settle { done, .. } => {
                let open = self.open(world, number, *done);
                actions.extend(self.queue.then_some(Action::Queue(number)));
                for place in &open {
                    push(&written, &|fate| Action::Settle(number, *place, fate), actions);
                }
                if open.is_empty() {
                    push(&read[..read.len().min(2)], &|fate| Action::Settled(number, fate), actions);
                }
            }
            Phase::Queued { done, .. } => {
                let open = self.open(world, number, *done).into_iter();
                actions.extend(open.map(|place| Action::Deliver(number, place)));
            }
        }
    }

    /// The limits of an execution that a settlement has not settled yet.
    fn open(&self, world: &World, number: usize, done: u8) -> Vec<usize> {
        let limits = self.limits_at(world.clients[number].born).count();
        (0..limits).filter(|place| done & (1 << place) == 0).collect()
    }

    /// Settles a scope by the message of the queue. After the last scope, the message is delivered again or is done.
    fn deliver(&self, world: &mut World, number: usize, place: usize) {
        let Phase::Queued { actual, done, left } = world.clients[number].phase else { return };
        let message = vec![self.settlement(world, number, place, actual)];
        world.make(self, &message, By::Queue);
        let done = done | 1 << place;
        let is_done = self.open(world, number, done).is_empty();
        if is_done && left == 1 {
            if actual == 0 {
                self.forget(world, number);
            }
            world.clients[number].phase = Phase::Over(End::Answered);
        } else {
            let (done, left) = if is_done { (0, left - 1) } else { (done, left) };
            world.clients[number].phase = Phase::Queued { actual, done, left };
        }
    }

    /// Ends a step of a function that has sent `message`.
    fn end(&self, world: &mut World, number: usize, fate: Fate, message: Option<Changes>) {
        if let (Fate::Twice | Fate::Late | Fate::Unknown, Some(message)) = (fate, message) {
            world.delays -= 1;
            world.late.push(message);
            world.late.sort_by_key(|changes| format!("{changes:?}"));
        }
        let client = &mut world.clients[number];
        match fate {
            Fate::Well | Fate::Twice | Fate::Unknown => {}
            Fate::Death => {
                world.crashes -= 1;
                client.phase = Phase::Over(End::Died);
            }
            Fate::Crash | Fate::Late => {
                world.crashes -= u8::from(fate == Fate::Crash);
                let cancels = match &client.phase {
                    Phase::GivingUp(giving_up) => giving_up.denial.is_none(),
                    phase => *phase == Phase::Over(End::Unavailable),
                };
                match client.phase {
                    Phase::Settle { actual, .. } => client.phase = Phase::Settle { actual, done: 0 },
                    _ if cancels => giving_up::start(self, world, number, None),
                    _ => client.phase = Phase::Register { again: true },
                }
            }
        }
    }

    fn forget(&self, world: &mut World, number: usize) {
        let id = self.requests[number].id;
        if world.records.get(id).is_some_and(|(owner, _)| *owner == number) {
            world.records.remove(id);
        }
    }

    fn settlement(&self, world: &World, number: usize, place: usize, actual: u32) -> (Key, Change) {
        let client = &world.clients[number];
        let ask = self.ask(number, client);
        let reservation = self.attempt(&ask, number, client).reservation();
        let amount = self.used(number, actual);
        settlements(&reservation, Some(amount), at(client.since)).remove(place)
    }

    /// Advances the clock. An execution that is still in `Reserve` after the duration of a hold dies, so it ends
    /// before its hold expires.
    fn tick(&self, world: &mut World) {
        world.clock += 1;
        for client in &mut world.clients {
            let admitted = matches!(
                client.phase,
                Phase::Idle | Phase::Model | Phase::Settle { .. } | Phase::Queued { .. } | Phase::Over(_)
            );
            if !admitted && client.born + self.hold_ticks <= world.clock {
                client.phase = Phase::Over(End::Died);
            }
        }
    }
}
