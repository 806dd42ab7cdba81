//! The protocol as a state machine: which steps there are in a state, and what each makes of it.

use sentry_ledger::change::Change;
use sentry_ledger::steps::{cancellations, settlements};
use stateright::{Model, Property};

use crate::action::{Action, Fate};
use crate::properties;
use crate::reserve;
use crate::setup::{Outcome, Setup, at};
use crate::world::{By, Changes, End, Phase, World};

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
        actions.extend((0..world.expired(self).len()).map(Action::Sweep));
        actions.extend((0..world.late.len()).map(Action::Arrive));
        if let Some(most) = self.bypass {
            actions.extend((world.cloud + 1..=world.produced()).map(Action::Publish));
            actions.extend((world.bypass < most).then_some(Action::Bypass));
        }
        actions.extend((world.clock < self.last_tick).then_some(Action::Tick));
    }

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
            Action::Write(number, Fate::Late) => {
                let changes = reserve::changes(self, &next.clients[number], number)?;
                self.end(&mut next, number, Fate::Late, Some(changes));
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
            Action::GiveUp(number) => next.clients[number].phase = Phase::CancelLook,
            Action::CancelLook(number, fate) => {
                let changes = cancellations(self.holder(number), &self.limits, &next.scopes);
                next.clients[number].phase = Phase::Cancel(changes);
                self.end(&mut next, number, fate, None);
            }
            Action::Cancel(number, fate) => {
                let Phase::Cancel(mut changes) = next.clients[number].phase.clone() else { return None };
                let message = if changes.is_empty() {
                    self.forget(&mut next, number);
                    next.clients[number].phase = Phase::Over(End::Unavailable);
                    None
                } else {
                    let message = vec![changes.remove(0)];
                    next.clients[number].phase = Phase::Cancel(changes);
                    (fate == Fate::Late || next.make(self, &message, By::Owner)).then_some(message)
                };
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
            Action::Sweep(number) => {
                let change = next.expired(self).remove(number);
                next.make(self, &[change], By::Sweeper);
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
    /// What one execution can do next.
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
                for places in self.places() {
                    push(&read, &|fate| Action::Register(number, places.clone(), fate), actions);
                }
                actions.extend(again.then_some(Action::GiveUp(number)));
            }
            Phase::Write => push(&written, &|fate| Action::Write(number, fate), actions),
            Phase::Look => push(&read, &|fate| Action::Look(number, fate), actions),
            Phase::Change(_) => push(&read, &|fate| Action::Change(number, fate), actions),
            Phase::Deny(_) => push(&read, &|fate| Action::Deny(number, fate), actions),
            Phase::CancelLook => push(&read, &|fate| Action::CancelLook(number, fate), actions),
            Phase::Cancel(changes) => {
                let fates = if changes.is_empty() { &read } else { &written };
                push(fates, &|fate| Action::Cancel(number, fate), actions);
            }
            Phase::Model => actions.extend(self.outcomes.iter().map(|outcome| Action::Call(number, *outcome))),
            Phase::Settle { done, .. } => {
                let open: Vec<usize> = (0..self.limits.len()).filter(|place| done & (1 << place) == 0).collect();
                for place in &open {
                    push(&written, &|fate| Action::Settle(number, *place, fate), actions);
                }
                if open.is_empty() {
                    push(&read[..read.len().min(2)], &|fate| Action::Settled(number, fate), actions);
                }
            }
        }
    }

    /// Ends a step of a function that has made `message`.
    fn end(&self, world: &mut World, number: usize, fate: Fate, message: Option<Changes>) {
        if let (Fate::Twice | Fate::Late, Some(message)) = (fate, message) {
            world.delays -= 1;
            world.late.push(message);
            world.late.sort_by_key(|changes| format!("{changes:?}"));
        }
        let client = &mut world.clients[number];
        match fate {
            Fate::Well | Fate::Twice => {}
            Fate::Death => {
                world.crashes -= 1;
                client.phase = Phase::Over(End::Died);
            }
            Fate::Crash | Fate::Late => {
                world.crashes -= u8::from(fate == Fate::Crash);
                client.phase = match client.phase {
                    Phase::Settle { actual, .. } => Phase::Settle { actual, done: 0 },
                    Phase::CancelLook | Phase::Cancel(_) | Phase::Over(End::Unavailable) => Phase::CancelLook,
                    _ => Phase::Register { again: true },
                };
            }
        }
    }

    fn forget(&self, world: &mut World, number: usize) {
        let id = self.requests[number].id;
        if world.records.get(id) == Some(&number) {
            world.records.remove(id);
        }
    }

    fn settlement(
        &self,
        world: &World,
        number: usize,
        place: usize,
        actual: u32,
    ) -> (sentry_ledger::steps::Key, Change) {
        let client = &world.clients[number];
        let ask = self.ask(number, client.seen);
        let reservation = self.attempt(&ask, number, client).reservation();
        let amount = self.used(number, actual);
        settlements(&reservation, Some(amount), at(client.since)).remove(place)
    }

    /// No execution is in `Reserve` any more when a hold taken by then has expired.
    fn tick(&self, world: &mut World) {
        world.clock += 1;
        for client in &mut world.clients {
            let admitted = matches!(client.phase, Phase::Idle | Phase::Model | Phase::Settle { .. } | Phase::Over(_));
            if !admitted && client.born + self.hold_ticks <= world.clock {
                client.phase = Phase::Over(End::Died);
            }
        }
    }
}
