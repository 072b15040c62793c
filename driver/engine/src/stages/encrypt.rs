//! AES-256-XTS below everything that looks at plaintext.
//!
//! The data unit is the volume's sector and the tweak is the sector's number on the volume (IEEE 1619-2018
//! 5.1), so a sector reads the same wherever the volume lies on a device.

use sluice_chain::{Direction, Payload, Stage, StageIo, Status, Verdict, abi::Needs, bytes::Target};
use sluice_xts::Xts256;

/// Encrypts what is written into private memory, and decrypts what was read where it lies.
///
/// Decrypting in place is sound because nothing is concluded from the memory: if a caller changes its buffer
/// while it is filled, it garbles its own read and nothing else.
pub struct Encrypt {
    cipher: Xts256,
}

impl Encrypt {
    /// The stage for one volume's key.
    pub fn new(cipher: Xts256) -> Self {
        Self { cipher }
    }

    fn write(&self, io: &mut StageIo<'_>) -> Option<()> {
        let (unit, mut sector) = (io.sector_size() as usize, io.sector());
        match io.write_payload()? {
            Payload::Private(target) => self.cipher.encrypt_in_place(sector, unit, target).ok(),
            Payload::Caller { mut segments, private } => {
                let mut rest = private;
                while let Some(source) = segments.next_source() {
                    let (target, tail) = rest.split_at(source.len())?;
                    let sectors = source.len() / unit;
                    self.cipher.encrypt(sector, unit, source, target).ok()?;
                    (sector, rest) = (sector.checked_add(sectors as u64)?, tail);
                }
                rest.is_empty().then_some(())
            }
        }
    }

    fn read(&self, io: &mut StageIo<'_>) -> Option<()> {
        let (unit, mut sector) = (io.sector_size() as usize, io.sector());
        // A device that moved less than asked leaves whole sectors and perhaps a part of one, which stays
        // ciphertext: the caller is told how much is good.
        let mut left = io.transferred() as usize / unit * unit;
        let mut segments = io.read_targets();
        while left > 0 {
            let target: Target<'_> = segments.next_target()?;
            let count = target.len().min(left);
            let (target, _) = target.split_at(count)?;
            self.cipher.decrypt_in_place(sector, unit, target).ok()?;
            (sector, left) = (sector.checked_add((count / unit) as u64)?, left - count);
        }
        Some(())
    }
}

impl Stage for Encrypt {
    const NAME: &'static str = "encrypt";
    const NEEDS: Needs = Needs::SPARE_ON_WRITE;

    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        if io.direction() != Direction::WRITE {
            return Verdict::CONTINUE;
        }
        // Sectors that cannot be numbered have no tweak, and lie on no volume.
        let sectors = u64::from(io.length() / io.sector_size());
        if io.sector().checked_add(sectors).is_none() {
            return io.finish(Status::OUT_OF_RANGE);
        }
        if self.write(io).is_none() {
            // Nothing has been sent: what could not be encrypted does not reach the device.
            return io.finish(Status::INTERNAL);
        }
        Verdict::CONTINUE
    }

    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        let good = io.status() == Status::OK;
        if good && io.direction() == Direction::READ && self.read(io).is_none() {
            return io.finish(Status::INTERNAL);
        }
        Verdict::CONTINUE
    }
}
