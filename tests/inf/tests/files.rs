//! The INF files keep the rules, and each rule bites.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use sluice_inf::complaints;

const CLASS: &str = include_str!("../../../inf/sluice.inf");
const DEVICE: &str = include_str!("../../../inf/sluice-device.inf");
const VIRTIO: &str = include_str!("../../../inf/sluice-virtio.inf");
const ADAPTER: &str = include_str!("../../../inf/sluice-adapter.inf");

#[test]
fn all_keep_the_rules() {
    assert_eq!(complaints(CLASS), [""; 0]);
    assert_eq!(complaints(DEVICE), [""; 0]);
    assert_eq!(complaints(VIRTIO), [""; 0]);
    assert_eq!(complaints(ADAPTER), [""; 0]);
}

#[test]
fn each_rule_bites() {
    let class_sins = [
        ("PnpLockdown = 1", "PnpLockdown = 0"),
        ("CatalogFile = sluice.cat", ""),
        ("Signature   = \"$WINDOWS NT$\"", "Signature = $CHICAGO$"),
        ("DriverVer   = 11/23/2026,0.1.0.0", ""),
        ("Provider    = %Provider%", ""),
        ("{4d36e967-e325-11ce-bfc1-08002be10318}", "{4d36e967-e325-11ce-bfc1-08002be10319}"),
        ("DefaultDestDir = 13", "DefaultDestDir = 12"),
        ("sluice.sys = 1", "other.sys = 1"),
        ("1 = %Disk%", "2 = %Disk%"),
        ("CopyFiles = Files", "CopyFiles = Nothing"),
        ("StartType      = 0", "StartType = 3"),
        ("ServiceType    = 1", "ServiceType = 2"),
        ("ErrorControl   = 1", "ErrorControl = 3"),
        ("%13%\\sluice.sys", "%12%\\sluice.sys"),
        ("AddService = sluice, , Service", "AddService = sluice, 2, Service"),
        ("AddService = sluice, , Service", "AddService = sluicy, , Service"),
        ("0x00010008", "0x00010000"),
        ("0x00018002", "0x00000000"),
        ("LowerFilters, 0x00010008, sluice", "UpperFilters, 0x00010008, sluice"),
        ("LegacyUninstall = 1", ""),
        ("Name        = ", "Nome = "),
        ("[Strings]", "[Manufacturer]\n[Strings]"),
    ];
    for (good, bad) in class_sins {
        assert!(CLASS.contains(good), "{good:?} is not in the file");
        assert!(!complaints(&CLASS.replace(good, bad)).is_empty(), "{bad:?} passes");
    }
    let device_sins = [
        ("FilterPosition = Lower", "FilterPosition = Upper"),
        ("ExtensionId = {8d9a", "ExtensionId = 8d9a"),
        ("{e2f84ce7-8efa-411c-aa69-97454ca4cb57}", "{4d36e967-e325-11ce-bfc1-08002be10318}"),
        (", NTarm64.10.0...18362", ""),
        ("= Install, SCSI", "= Instal, SCSI"),
    ];
    for (good, bad) in device_sins {
        assert!(DEVICE.contains(good), "{good:?} is not in the file");
        assert!(!complaints(&DEVICE.replace(good, bad)).is_empty(), "{bad:?} passes");
    }
    let virtio_sins = [
        ("{4d36e97b-e325-11ce-bfc1-08002be10318}", "{4d36e967-e325-11ce-bfc1-08002be10318}"),
        ("AddService = sluice, 2, Service", "AddService = sluice, , Service"),
        ("DEV_1001", "DEV_1002"),
        ("DEV_1042", "DEV_1041"),
        ("= Install, PCI", "= Instal, PCI"),
        (", NTarm64.10.0...18362", ""),
        ("AddReg = Messages", ""),
        ("MSISupported, 0x00010001, 1", "MSISupported, 0x00010001, 0"),
        ("MSISupported, 0x00010001", "MSISupported, 0x00000000"),
        ("MessageNumberLimit, 0x00010001, 5", "MessageNumberLimit, 0x00010001, 1"),
        ("HKR, Interrupt Management", "HKR, Interrupt"),
    ];
    for (good, bad) in virtio_sins {
        assert!(VIRTIO.contains(good), "{good:?} is not in the file");
        assert!(!complaints(&VIRTIO.replace(good, bad)).is_empty(), "{bad:?} passes");
    }
    let adapter_sins = [
        ("{4d36e97b-e325-11ce-bfc1-08002be10318}", "{4d36e967-e325-11ce-bfc1-08002be10318}"),
        ("AddService = sluice, 2, Service", "AddService = sluice, , Service"),
        (", NTarm64.10.0...18362", ""),
        ("= Install, Root", "= Instal, Root"),
        ("HKR, , Units,", "HKR, , Count,"),
        ("0x00010003, 64", "0x00010001, 64"),
        ("HKR, , Megabytes", "HKLM, , Megabytes"),
        ("[Strings]", "[Filter]\nHKR, , UpperFilters, 0x00010008, sluice\n[Strings]"),
    ];
    for (good, bad) in adapter_sins {
        assert!(ADAPTER.contains(good), "{good:?} is not in the file");
        assert!(!complaints(&ADAPTER.replace(good, bad)).is_empty(), "{bad:?} passes");
    }
}
