//! What a subscriber of `tracing` is told.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{OwnedLockGuard, TouchFile};
use touchfile_mock::{Call, MockBackend, World};
use tracing::field::{Field, Visit};
use tracing::{Event, Id, Level, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

const PATH: &str = "/dir/a.lock";

#[tokio::test(start_paused = true)]
async fn an_acquisition_is_a_span_with_path_backend_and_mode() {
    let (log, _subscriber) = Log::install();
    let touch = TouchFile::new(World::new().process("a"), PATH).unwrap();
    drop(touch.lock(Shared).await.unwrap());
    let expected = "acquire{backend=mock mode=shared path=/dir/a.lock}: DEBUG acquired waited=0ns";
    assert_eq!(
        log.lines(),
        [
            expected,
            "DEBUG released held=0ns mode=shared path=/dir/a.lock"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn contention_is_told_once_and_the_wait_is_measured() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let held = held_by_b(&world).await;
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    log.clear();
    let holder = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(held);
    };
    let (guard, ()) = tokio::join!(touch.lock_exclusive(), holder);
    drop(guard.unwrap());
    let told = log.events();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "DEBUG contended by=another holder",
            "DEBUG released held=3s mode=exclusive path=/dir/a.lock", // the holder's
            "DEBUG acquired waited=3s",
            "DEBUG released held=0ns mode=exclusive path=/dir/a.lock",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_in_the_queue_of_the_process_is_contention_too() {
    let (log, _subscriber) = Log::install();
    let touch = TouchFile::new(World::new().process("a"), PATH).unwrap();
    let held = touch.lock(Exclusive).await.unwrap();
    log.clear();
    let second = touch.lock_timeout(Exclusive, Duration::from_secs(1));
    assert!(second.await.unwrap_err().is_timeout());
    assert_eq!(
        log.events(),
        [
            "DEBUG contended by=this process",
            "WARN waiting for a lock that the same task or thread has taken and not released",
            "DEBUG gave up holders=held by process a for 500.0ms waited=1s"
        ]
    );
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn giving_up_is_told_with_the_holder_and_an_error_with_its_words() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let _held = held_by_b(&world).await;
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    log.clear();
    let gave_up = touch.lock_timeout(Exclusive, Duration::from_secs(9)).await;
    assert!(gave_up.unwrap_err().is_timeout());
    let last = "DEBUG gave up holders=held by process b for 8.5s waited=9s";
    let events = log.events();
    assert_eq!(events.last().map(String::as_str), Some(last), "{events:?}");

    world.fail_next(Call::TryLock, 5); // EIO
    log.clear();
    touch.lock_exclusive().await.unwrap_err();
    let events = log.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("DEBUG failed error="), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_is_told_and_an_acquisition_that_did_not_wait_is_not() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let _held = held_by_b(&world).await;
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    log.clear();
    let waiting = touch.lock_exclusive();
    drop(tokio::time::timeout(Duration::from_secs(2), waiting).await);
    let expected = [
        "acquire{backend=mock mode=exclusive path=/dir/a.lock}: DEBUG contended by=another holder",
        "acquire{backend=mock mode=exclusive path=/dir/a.lock}: DEBUG cancelled waited=2s",
    ];
    assert_eq!(log.lines(), expected);
    log.clear();
    drop(touch.lock_exclusive());
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_warned_of_and_more_and_more_rarely() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let _held = held_by_b(&world).await;
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    log.clear();
    let waiting = touch.lock_exclusive();
    drop(tokio::time::timeout(Duration::from_secs(200), waiting).await);
    let events = log.events();
    let warnings: Vec<&str> = events
        .iter()
        .map(String::as_str)
        .filter(|event| event.starts_with("WARN"))
        .collect();
    assert_eq!(
        warnings,
        [
            "WARN still waiting holders=held by process b waited=30s",
            "WARN still waiting holders=held by process b for 30.0s waited=60s",
            "WARN still waiting holders=held by process b for 90.0s waited=120s",
        ]
    );
    let last = "DEBUG cancelled holders=held by process b waited=200s";
    assert_eq!(events.last().map(String::as_str), Some(last));
}

#[tokio::test]
async fn starting_over_on_a_replaced_file_is_told() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    drop(touch.lock(Exclusive).await.unwrap());
    world.replace(PATH);
    log.clear();
    drop(touch.lock(Exclusive).await.unwrap());
    assert_eq!(
        log.events()[..2],
        ["DEBUG replaced", "DEBUG acquired waited=0ns"]
    );
}

#[tokio::test]
async fn a_guard_that_cannot_release_warns_when_dropped() {
    let (log, _subscriber) = Log::install();
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.fail_next(Call::Unlock, 5); // EIO
    log.clear();
    drop(guard);
    let told = log.events();
    assert_eq!(told.len(), 1, "{told:?}");
    // In the words of this system's C library.
    let words = std::io::Error::from_raw_os_error(5);
    let start = format!("WARN releasing the lock failed error={words}");
    assert!(told[0].starts_with(&start), "{told:?}");
}

/// The lock, held by the process `b`.
async fn held_by_b(world: &World) -> OwnedLockGuard<MockBackend> {
    let touch = TouchFile::new(world.process("b"), PATH).unwrap();
    Arc::new(touch).lock_exclusive_owned().await.unwrap()
}

/// What was told under the target `touchfile`, a line each.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Listens on this thread until the guard is dropped.
    fn install() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = Registry::default().with(log.clone());
        let installed = tracing::subscriber::set_default(subscriber);
        (log, installed)
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines without the spans they were told in.
    fn events(&self) -> Vec<String> {
        let event = |line: String| line.rsplit("}: ").next().unwrap_or_default().to_owned();
        self.lines().into_iter().map(event).collect()
    }

    fn clear(&self) {
        self.lines.lock().unwrap().clear();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "touchfile" {
            return;
        }
        let mut line = String::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let fields: &Fields = extensions.get().unwrap();
            line += &format!("{}{{{fields}}}: ", span.name());
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let level: &Level = event.metadata().level();
        line += format!("{level} {message} {fields}").trim_end();
        self.lines.lock().unwrap().push(line);
    }
}

/// Names and values, in the order of the names.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        f.write_str(&fields.join(" "))
    }
}
