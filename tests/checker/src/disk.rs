//! A miniport in the shim, looked on from every side.

use std::{any::Any, ops::Deref, sync::Arc, sync::atomic::Ordering, thread, time::Duration};

use sluice_chain::Chain;
use sluice_shim::{
    miniport::{Hw, Miniport, Srb},
    storport::SrbKind,
};
use sluice_user_host::{Disk as Host, Setup, Watch};

use crate::rules::{Checker, level};

/// How long a request may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// `sluice_user_host::Disk` with a checker beside it. Panics when it is dropped if a rule was broken.
pub struct Disk {
    host: Option<Host>,
    checker: &'static Checker,
    forgiven: Vec<&'static str>,
}

impl Disk {
    /// As [`Host::new`].
    #[must_use]
    pub fn new<M>(miniport: Arc<M>, sector_size: u32, chain: Chain, setup: &Setup) -> Self
    where
        M: Miniport + Send + Sync + 'static,
    {
        let checker = Checker::new();
        let called = Arc::new(Called { miniport, checker });
        let setup = Setup { watch: Some(checker), ..*setup };
        Self { host: Some(Host::new(called, sector_size, chain, &setup)), checker, forgiven: Vec::new() }
    }

    /// As [`Host::over`]. What the miniport does on its own thread is not looked on.
    ///
    /// # Safety
    /// The miniport works for as long as `owner` exists.
    #[must_use]
    pub unsafe fn over(
        hw: Hw,
        owner: Arc<dyn Any + Send + Sync>,
        sector_size: u32,
        chain: Chain,
        setup: &Setup,
    ) -> Self {
        let checker = Checker::new();
        let setup = Setup { watch: Some(checker), ..*setup };
        // SAFETY: the caller's contract.
        let host = unsafe { Host::over(hw, owner, sector_size, chain, &setup) };
        Self { host: Some(host), checker, forgiven: Vec::new() }
    }

    /// For a test that has a rule broken, to see what comes of it.
    pub fn forgive(&mut self, rules: &[&'static str]) {
        self.forgiven.extend_from_slice(rules);
    }

    /// What has been done against the rules so far, for a test that wants to see it. It is then forgotten.
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        self.look(&self.adapter().faults().not_owned, "srb.twice");
        self.look(&self.adapter().faults().touched, "srb.after");
        let mut rules: Vec<_> = self.checker.broken().into_iter().map(|(rule, _)| rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    fn look(&self, counted: &std::sync::atomic::AtomicU64, rule: &'static str) {
        let times = counted.load(Ordering::Relaxed);
        if times > 0 {
            self.checker.breaks(rule, format!("{times} times"));
        }
    }

    /// Requests without an answer are lost if they have waited for so long.
    pub fn look_for_lost(&self, patience: Duration) {
        self.checker.look_for_lost(patience);
    }

    /// Goes without waiting: a request of it has been lost.
    pub fn abandon(mut self) {
        std::mem::forget(self.host.take());
    }
}

impl Deref for Disk {
    type Target = Host;

    #[allow(clippy::expect_used, reason = "gone only while it is dropped")]
    fn deref(&self) -> &Host {
        self.host.as_ref().expect("a disk that is in use")
    }
}

impl Drop for Disk {
    #[allow(clippy::panic, reason = "a test that breaks a rule fails")]
    fn drop(&mut self) {
        if self.host.is_none() || thread::panicking() {
            return;
        }
        self.checker.look_for_lost(PATIENCE);
        let broken = self.broken();
        self.host = None;
        let broken: Vec<_> = broken.into_iter().filter(|rule| !self.forgiven.contains(rule)).collect();
        assert!(broken.is_empty(), "rules were broken: {broken:?}");
    }
}

/// A miniport, called by the rules.
struct Called<M> {
    miniport: Arc<M>,
    checker: &'static Checker,
}

impl<M: Miniport + Send> Miniport for Called<M> {
    fn srb_kind(&self) -> SrbKind {
        self.miniport.srb_kind()
    }

    fn start_io(&self, srb: Srb) {
        let before = level();
        self.checker.crosses();
        self.miniport.start_io(srb);
        self.checker.crosses();
        if level() != before {
            self.checker.breaks("irql.return", format!("called at {before}, back at {}", level()));
            crate::rules::stay_at(before);
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
