//! A miniport that is asked later: every request pends.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use sluice_shim::{
    miniport::{Miniport, Srb},
    storport::SrbKind,
};

/// Hands each SRB to a thread, which gives several at once to the miniport, the last one first.
pub struct Pending {
    kind: SrbKind,
    to: Mutex<mpsc::Sender<Srb>>,
}

impl Pending {
    /// In front of `miniport`. The thread ends with this.
    #[must_use]
    pub fn new<M: Miniport + Send + Sync + 'static>(miniport: Arc<M>) -> Arc<Self> {
        let (to, from) = mpsc::channel::<Srb>();
        let kind = miniport.srb_kind();
        thread::spawn(move || {
            while let Ok(first) = from.recv() {
                thread::yield_now();
                let mut some: Vec<_> = [first].into_iter().chain(from.try_iter().take(7)).collect();
                while let Some(srb) = some.pop() {
                    miniport.start_io(srb);
                }
            }
        });
        Arc::new(Self { kind, to: Mutex::new(to) })
    }
}

impl Miniport for Pending {
    fn srb_kind(&self) -> SrbKind {
        self.kind
    }

    fn start_io(&self, srb: Srb) {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(mpsc::SendError(srb)) = to.send(srb) {
            srb.complete(); // its thread has gone, by a panic that is shown already
        }
    }
}
