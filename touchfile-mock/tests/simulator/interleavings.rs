//! Every interleaving of three processes on one lock, against a model of the queue.
//!
//! Each step runs under one mutex, so the test can make the steps one by one. From the first state on it
//! makes every possible step in every state that can be reached, until there is no new state. After each
//! step the world must agree with the model, and every waiter that may take the lock must have been
//! woken.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle, LockMode};
use touchfile_mock::{MockHandle, World};

use crate::support::{ByHand, PATH, block_on, open, ready};

const NAMES: [&str; 3] = ["p0", "p1", "p2"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Drops the future of a wait, and keeps the handle.
    Cancel,
    /// Drops the handle, with its wait if it has one, and opens another.
    Drop,
    Kill,
    Lock(LockMode),
    Lose,
    Poll,
    Resume,
    Stop,
    Try(LockMode),
    Unlock,
}

/// The state of the model.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Model {
    holders: Vec<(usize, LockMode)>,
    queue: Vec<(usize, LockMode)>,
    /// The processes that seem to hold a lost lock.
    deceived: [bool; 3],
    stopped: [bool; 3],
    woken: [bool; 3],
}

impl Model {
    fn holds(&self, who: usize) -> bool {
        self.holders.iter().any(|(holder, _)| *holder == who)
    }

    fn waits(&self, who: usize) -> bool {
        self.queue.iter().any(|(waiter, _)| *waiter == who)
    }

    fn is_busy(&self, mode: LockMode) -> bool {
        self.holders
            .iter()
            .any(|(_, held)| held.conflicts_with(mode))
    }

    fn may_pass(&self, who: usize, mode: LockMode) -> bool {
        let ahead = self.queue.iter().take_while(|(waiter, _)| *waiter != who);
        let mut in_the_way = ahead.filter(|(w, m)| !self.stopped[*w] && m.conflicts_with(mode));
        !self.is_busy(mode) && in_the_way.next().is_none()
    }

    fn forget(&mut self, who: usize) {
        self.holders.retain(|(holder, _)| *holder != who);
        self.queue.retain(|(waiter, _)| *waiter != who);
        self.deceived[who] = false;
    }

    fn possible(&self, who: usize) -> Vec<Step> {
        if self.stopped[who] {
            let mut steps = vec![Step::Drop, Step::Kill, Step::Resume];
            if self.waits(who) {
                steps.extend([Step::Cancel, Step::Poll]);
            }
            return steps;
        }
        let mut steps = vec![Step::Kill, Step::Stop];
        if self.waits(who) {
            steps.extend([Step::Cancel, Step::Drop, Step::Poll]);
        } else if self.holds(who) {
            steps.extend([Step::Drop, Step::Lose, Step::Unlock]);
        } else if self.deceived[who] {
            steps.extend([Step::Drop, Step::Unlock]);
        } else {
            let modes = [Exclusive, Shared];
            steps.extend(modes.map(Step::Lock));
            steps.extend(modes.map(Step::Try));
        }
        steps
    }
}

type Ended = (MockHandle, Option<io::Result<()>>);

enum Actor {
    Handle(MockHandle),
    Waiting {
        wait: ByHand<'static, Ended>,
        cancelled: Rc<Cell<bool>>,
    },
    Gone,
}

/// Waits for the lock, or until the wait is dropped on request, and returns the handle.
fn wait(
    mut handle: MockHandle,
    mode: LockMode,
    cancelled: Rc<Cell<bool>>,
) -> ByHand<'static, Ended> {
    ByHand::new(async move {
        let outcome = {
            let mut lock = pin!(handle.lock(mode));
            poll_fn(|cx| {
                if cancelled.get() {
                    return Poll::Ready(None);
                }
                lock.as_mut().poll(cx).map(Some)
            })
            .await
        };
        (handle, outcome)
    })
}

struct Run {
    world: World,
    actors: [Actor; 3],
    model: Model,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        Self {
            actors: NAMES.map(|name| Actor::Handle(open(&world, name))),
            world,
            model: Model::default(),
        }
    }

    fn make(&mut self, who: usize, step: Step) {
        let actor = std::mem::replace(&mut self.actors[who], Actor::Gone);
        self.actors[who] = match (step, actor) {
            (
                Step::Cancel,
                Actor::Waiting {
                    mut wait,
                    cancelled,
                },
            ) => {
                cancelled.set(true);
                let (handle, outcome) = ready(wait.poll());
                assert!(outcome.is_none());
                self.model.forget(who);
                Actor::Handle(handle)
            }
            (Step::Drop, actor) => {
                drop(actor);
                self.model.forget(who);
                self.reopen(who)
            }
            (Step::Kill, actor) => {
                assert!(self.world.kill(NAMES[who]));
                if let Actor::Waiting { mut wait, .. } = actor {
                    assert!(wait.is_woken(), "a wait of a dead process sleeps on");
                    assert!(matches!(ready(wait.poll()).1, Some(Err(_))));
                }
                self.model.forget(who);
                self.model.stopped[who] = false;
                Actor::Handle(open(&self.world, NAMES[who]))
            }
            (Step::Lock(mode), Actor::Handle(handle)) => {
                let cancelled = Rc::default();
                let wait = wait(handle, mode, Rc::clone(&cancelled));
                let expected = self.model.may_pass(who, mode);
                self.model.queue.push((who, mode));
                self.poll(who, Actor::Waiting { wait, cancelled }, expected)
            }
            (Step::Lose, actor) => {
                assert_eq!(self.world.lose_locks_of(NAMES[who]), 1);
                self.model.forget(who);
                self.model.deceived[who] = true;
                actor
            }
            (Step::Poll, actor) => {
                let queue = &self.model.queue;
                let (_, mode) = *queue.iter().find(|(waiter, _)| *waiter == who).unwrap();
                let expected = !self.model.stopped[who] && self.model.may_pass(who, mode);
                self.poll(who, actor, expected)
            }
            (Step::Resume | Step::Stop, actor) => {
                let stop = matches!(step, Step::Stop);
                self.model.stopped[who] = stop;
                let signal = if stop { World::stop } else { World::resume };
                assert!(signal(&self.world, NAMES[who]));
                actor
            }
            (Step::Try(mode), Actor::Handle(mut handle)) => {
                let attempt = block_on(handle.try_lock(mode)).unwrap();
                let taken = attempt == Attempt::Acquired;
                assert_eq!(taken, !self.model.is_busy(mode));
                if taken {
                    self.model.holders.push((who, mode));
                }
                Actor::Handle(handle)
            }
            (Step::Unlock, Actor::Handle(mut handle)) => {
                let unlocked = block_on(handle.unlock());
                assert_eq!(unlocked.is_err(), self.model.deceived[who]);
                self.model.forget(who);
                Actor::Handle(handle)
            }
            _ => unreachable!("the model offers only what is possible"),
        };
        self.check();
    }

    fn poll(&mut self, who: usize, actor: Actor, expected: bool) -> Actor {
        let Actor::Waiting {
            mut wait,
            cancelled,
        } = actor
        else {
            unreachable!("only waits are polled");
        };
        match wait.poll() {
            Poll::Ready((handle, outcome)) => {
                assert!(expected, "{who} took the lock out of turn");
                outcome.unwrap().unwrap();
                let index = self.model.queue.iter().position(|(w, _)| *w == who);
                let claim = self.model.queue.remove(index.unwrap());
                self.model.holders.push(claim);
                Actor::Handle(handle)
            }
            Poll::Pending => {
                assert!(!expected, "{who} was kept from a free lock");
                Actor::Waiting { wait, cancelled }
            }
        }
    }

    /// Opens a handle. A stopped process cannot do that, so it is killed and started again.
    fn reopen(&mut self, who: usize) -> Actor {
        if self.model.stopped[who] {
            self.world.kill(NAMES[who]);
            self.model.stopped[who] = false;
        }
        Actor::Handle(open(&self.world, NAMES[who]))
    }

    fn check(&mut self) {
        let named = |claims: &[(usize, LockMode)]| -> Vec<_> {
            claims
                .iter()
                .map(|(who, mode)| (NAMES[*who], *mode))
                .collect()
        };
        assert_eq!(self.world.holders(PATH), named(&self.model.holders)[..]);
        assert_eq!(self.world.waiters(PATH), named(&self.model.queue)[..]);
        for (who, actor) in self.actors.iter().enumerate() {
            self.model.woken[who] = match actor {
                Actor::Waiting { wait, .. } => wait.is_woken(),
                Actor::Handle(_) | Actor::Gone => false,
            };
        }
        for &(who, mode) in &self.model.queue {
            let its_turn = !self.model.stopped[who] && self.model.may_pass(who, mode);
            assert!(
                self.model.woken[who] || !its_turn,
                "lost wake-up: {who} sleeps though it is its turn"
            );
        }
    }
}

#[test]
fn no_interleaving_loses_a_wake_up_or_breaks_the_order() {
    let mut seen = HashSet::from([Model::default()]);
    let mut frontier = VecDeque::from([(Vec::new(), Model::default())]);
    let mut steps_made = 0;
    while let Some((path, state)) = frontier.pop_front() {
        for who in 0..NAMES.len() {
            for step in state.possible(who) {
                let mut longer: Vec<(usize, Step)> = path.clone();
                longer.push((who, step));
                let mut run = Run::new();
                for &(who, step) in &longer {
                    run.make(who, step);
                }
                steps_made += 1;
                if seen.insert(run.model.clone()) {
                    frontier.push_back((longer, run.model.clone()));
                }
            }
        }
    }
    println!("{} states, {steps_made} different steps", seen.len());
    assert!(
        seen.len() > 1_000,
        "the model does not explore: {}",
        seen.len()
    );
}
