//! A clock that only moves while every task waits, and the tasks that wait for it.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A task that runs until it waits for the clock.
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The time in microseconds, and the times at which tasks wake up.
#[derive(Default)]
pub struct Clock {
    now: Cell<u64>,
    current: Cell<usize>,
    events: Cell<u64>,
    queue: RefCell<BinaryHeap<Reverse<(u64, u64, usize)>>>,
}

impl Clock {
    /// Microseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    fn wake_at(&self, micros: u64, task: usize) {
        self.events.set(self.events.get() + 1);
        self.queue.borrow_mut().push(Reverse((micros, self.events.get(), task)));
    }

    /// Waits for `micros` microseconds.
    pub fn sleep(&self, micros: u64) -> impl Future<Output = ()> + '_ {
        let (until, task) = (self.now() + micros, self.current.get());
        let mut is_waiting = false;
        poll_fn(move |_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            if !is_waiting {
                self.wake_at(until, task);
                is_waiting = true;
            }
            Poll::Pending
        })
    }

    /// Starts a task at each of these times, and runs all of them to their ends.
    pub fn run<'a>(&'a self, starts: &[u64], task: impl Fn(usize) -> Task<'a>) {
        for (number, at) in starts.iter().enumerate() {
            self.wake_at(*at, number);
        }
        let mut tasks: Vec<Option<Task<'a>>> = starts.iter().map(|_| None).collect();
        let mut is_started = vec![false; starts.len()];
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let Some(Reverse((now, _, number))) = self.queue.borrow_mut().pop() else { return };
            self.now.set(now);
            self.current.set(number);
            if !is_started[number] {
                is_started[number] = true;
                tasks[number] = Some(task(number));
            }
            let Some(running) = &mut tasks[number] else { continue };
            if running.as_mut().poll(&mut context).is_ready() {
                tasks[number] = None;
            }
        }
    }
}
