//! Systems without the driver: there are no disks of it, so nothing here is ever made.

use std::{convert::Infallible, io};

use sluice_control::DiskEntry;

use crate::failure::Failure;

pub(crate) struct Device(Infallible);

impl Device {
    pub(crate) fn of(_disk: &DiskEntry) -> Option<Self> {
        None
    }
    pub(crate) fn volumes(&self) -> Result<Vec<Volume>, Failure> {
        match self.0 {}
    }
    pub(crate) fn update_properties(&self) -> bool {
        match self.0 {}
    }
}

pub(crate) struct Volume(Infallible);

impl Volume {
    pub(crate) fn name(&self) -> &str {
        match self.0 {}
    }
    pub(crate) fn flush(&self) {
        match self.0 {}
    }
    pub(crate) fn lock(&self) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn dismount(&self) -> io::Result<()> {
        match self.0 {}
    }
}
