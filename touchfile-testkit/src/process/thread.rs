//! A thread that stands for a process, for backends in memory.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use touchfile_core::BoxBackend;

use super::obey::Obeyer;
use super::{Answer, Lost, Order};

/// Ends once this is dropped and its last order carried out. If that never ends, it is abandoned.
#[derive(Debug)]
pub(crate) struct Thread {
    orders: Sender<Order>,
    answers: Receiver<Answer>,
}

impl Thread {
    pub(super) fn new(backend: BoxBackend) -> Self {
        let (orders, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        thread::spawn(move || {
            let Ok(mut obeyer) = Obeyer::new(backend) else {
                return;
            };
            while let Ok(order) = inbox.recv() {
                if outbox.send(obeyer.obey(order)).is_err() {
                    break;
                }
            }
        });
        Self { orders, answers }
    }

    pub(super) fn send(&mut self, order: &Order) {
        // Whether it listens is seen when it does not answer.
        drop(self.orders.send(order.clone()));
    }

    pub(super) fn receive(&mut self, within: Duration) -> Result<Answer, Lost> {
        self.answers
            .recv_timeout(within)
            .map_err(|error| match error {
                RecvTimeoutError::Disconnected => Lost::Ended,
                RecvTimeoutError::Timeout => Lost::Silent(within),
            })
    }
}
