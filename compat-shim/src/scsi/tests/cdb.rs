//! CDBs, by the standards' tables and by round trips.

use proptest::prelude::*;

use crate::scsi::{
    cdb::{BlockRange, ByteCheck, CdbError, Command, Form, Inquiry, Transfer, length_of},
    encode::Cdb,
};

fn parse(bytes: &[u8]) -> Command {
    Command::parse(bytes).unwrap()
}

fn transfer(lba: u64, blocks: u32, form: Form) -> Transfer {
    Transfer { range: BlockRange { lba, blocks }, form, ..Transfer::default() }
}

#[test]
fn read_6_has_21_bits_of_address_and_zero_means_256() {
    assert_eq!(parse(&[0x08, 0xFF, 0xFF, 0xFF, 1, 0]), Command::Read(transfer(0x1F_FFFF, 1, Form::Six)));
    assert_eq!(parse(&[0x0A, 0, 1, 2, 0, 0]), Command::Write(transfer(0x0102, 256, Form::Six)));
    assert_eq!(parse(&[0x08, 0, 0, 0, 255, 0]), Command::Read(transfer(0, 255, Form::Six)));
}

#[test]
fn longer_reads_and_writes_take_zero_for_zero() {
    let fua = Transfer { fua: true, ..transfer(0x0102_0304, 0x0506, Form::Ten) };
    assert_eq!(parse(&[0x28, 0x08, 1, 2, 3, 4, 0, 5, 6, 0]), Command::Read(fua));
    let dpo = Transfer { dpo: true, protect: 5, ..transfer(0x0102_0304, 0, Form::Ten) };
    assert_eq!(parse(&[0x2A, 0xB0, 1, 2, 3, 4, 0, 0, 0, 0]), Command::Write(dpo));
    assert_eq!(
        parse(&[0xA8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]),
        Command::Read(transfer(0x0102_0304, 0x0506_0708, Form::Twelve))
    );
    assert_eq!(
        parse(&[0x8A, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]),
        Command::Write(transfer(0x0102_0304_0506_0708, 0x090A_0B0C, Form::Sixteen))
    );
}

fn long(service: u16, length: u8) -> [u8; 32] {
    let mut cdb = [0; 32];
    (cdb[0], cdb[7]) = (0x7F, length);
    cdb[8..10].copy_from_slice(&service.to_be_bytes());
    cdb[10] = 0x08;
    cdb[12..20].copy_from_slice(&7_u64.to_be_bytes());
    cdb[28..32].copy_from_slice(&9_u32.to_be_bytes());
    cdb
}

#[test]
fn the_32_byte_forms_are_known_by_service_action() {
    let expected = Transfer { fua: true, ..transfer(7, 9, Form::ThirtyTwo) };
    assert_eq!(parse(&long(0x09, 24)), Command::Read(expected));
    assert_eq!(parse(&long(0x0B, 24)), Command::Write(expected));
    let Command::Verify(verify, ByteCheck::Medium) = parse(&long(0x0A, 24)) else { panic!() };
    assert!(!verify.fua && verify.range == expected.range);
    let Command::WriteSame(same) = parse(&long(0x0D, 24)) else { panic!() };
    assert!(same.unmap && !same.transfer.fua);
    assert_eq!(parse(&long(0x07, 24)), Command::Xor);
    assert_eq!(parse(&long(0x99, 24)), Command::Other(0x7F));
    assert_eq!(Command::parse(&long(0x09, 23)), Err(CdbError::Length));
    assert_eq!(Command::parse(&long(0x09, 24)[..31]), Err(CdbError::Short));
    assert_eq!(Command::parse(&[0x7F; 9]), Err(CdbError::Short));
}

#[test]
fn other_block_commands() {
    assert_eq!(
        parse(&[0x2F, 0x02, 0, 0, 0, 1, 0, 0, 2, 0]),
        Command::Verify(transfer(1, 2, Form::Ten), ByteCheck::Data)
    );
    assert_eq!(
        parse(&[0x2E, 0x06, 0, 0, 0, 1, 0, 0, 2, 0]),
        Command::WriteAndVerify(transfer(1, 2, Form::Ten), ByteCheck::OneBlock)
    );
    let compare = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0];
    assert_eq!(parse(&compare), Command::CompareAndWrite(transfer(5, 3, Form::Sixteen)));
    let Command::WriteSame(same) = parse(&[0x93, 0x09, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0]) else {
        panic!()
    };
    assert!(same.unmap && same.no_data && !same.anchor && !same.patterned);
    assert_eq!(parse(&[0x42, 1, 0, 0, 0, 0, 0, 1, 8, 0]), Command::Unmap { length: 264, anchor: true });
    assert_eq!(
        parse(&[0x35, 2, 0, 0, 0, 9, 0, 0, 1, 0]),
        Command::SynchronizeCache {
            range: BlockRange { lba: 9, blocks: 1 },
            immediate: true,
            form: Form::Ten
        }
    );
    let status = [0x9E, 0x12, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 24, 0, 0];
    assert_eq!(parse(&status), Command::GetLbaStatus { lba: 5, allocation: 24 });
    assert_eq!(
        parse(&[0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]),
        Command::ReadCapacity16 { allocation: 32 }
    );
    assert_eq!(parse(&[0x83, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Command::PopulateToken);
    assert_eq!(parse(&[0x83, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Command::WriteUsingToken);
    assert_eq!(parse(&[0x83, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Command::ExtendedCopy);
}

#[test]
fn device_commands() {
    assert_eq!(
        parse(&[0x12, 1, 0xB0, 1, 4, 0]),
        Command::Inquiry(Inquiry { page: Some(0xB0), stray_page: false, allocation: 260 })
    );
    assert_eq!(
        parse(&[0x12, 0, 0xB0, 0, 36, 0]),
        Command::Inquiry(Inquiry { page: None, stray_page: true, allocation: 36 })
    );
    let Command::AtaPassThrough(ata) = parse(&[0xA1, 8, 0x0E, 0xD0, 1, 0, 0x4F, 0xC2, 0, 0xB0, 0, 0]) else {
        panic!()
    };
    assert_eq!((ata.protocol, ata.command, ata.features, ata.from_device), (4, 0xB0, 0xD0, true));
    let mut sixteen = [0; 16];
    (sixteen[0], sixteen[1], sixteen[3], sixteen[4], sixteen[14]) = (0x85, 0x0D, 1, 2, 0x60);
    let Command::AtaPassThrough(ata) = parse(&sixteen) else { panic!() };
    assert_eq!((ata.protocol, ata.extended, ata.command, ata.features), (6, true, 0x60, 0x0102));
    let Command::StartStopUnit(stop) = parse(&[0x1B, 0, 0, 0, 0x32, 0]) else { panic!() };
    assert!(!stop.start && stop.load_eject && stop.power_condition == 3);
    assert_eq!(parse(&[0xE7, 1]), Command::Other(0xE7), "vendor-specific, of unknown length");
}

#[test]
fn every_cdb_shorter_than_its_group_is_refused() {
    assert_eq!(Command::parse(&[]), Err(CdbError::Empty));
    for operation in 0..=255_u8 {
        let Some(length) = length_of(operation) else { continue };
        let cdb = [operation; 16];
        assert_eq!(Command::parse(&cdb[..length - 1]), Err(CdbError::Short), "{operation:#x}");
        assert!(Command::parse(&cdb[..length]).is_ok());
    }
}

#[test]
fn a_range_at_the_very_end_fits_and_one_beyond_does_not() {
    let range = |lba, blocks| BlockRange { lba, blocks };
    assert!(range(90, 10).fits(100) && range(100, 0).fits(100));
    assert!(!range(90, 11).fits(100) && !range(101, 0).fits(100));
    assert!(!range(u64::MAX, 1).fits(u64::MAX));
    assert_eq!(range(0, 1 << 20).bytes(4096), None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = Command::parse(&bytes);
    }

    #[test]
    fn encoded_reads_and_writes_parse_back(
        lba in prop_oneof![any::<u64>(), 0..=u64::from(u32::MAX), Just(u64::from(u32::MAX) + 1)],
        blocks in prop_oneof![any::<u32>(), 0..=65_536_u32],
        fua: bool, dpo: bool, sixteen: bool,
    ) {
        let range = BlockRange { lba, blocks };
        let asked = if sixteen { Form::Sixteen } else { Form::Six };
        let short = u32::try_from(lba).is_ok() && u16::try_from(blocks).is_ok() && !sixteen;
        let form = if short { Form::Ten } else { Form::Sixteen };
        let expected = Transfer { range, form, fua, dpo, protect: 0 };
        prop_assert_eq!(parse(Cdb::read(range, fua, dpo, asked).as_bytes()), Command::Read(expected));
        prop_assert_eq!(parse(Cdb::write(range, fua, dpo, asked).as_bytes()), Command::Write(expected));
        let verify = Transfer { fua: false, ..expected };
        prop_assert_eq!(
            parse(Cdb::verify(range, dpo, asked).as_bytes()),
            Command::Verify(verify, ByteCheck::Medium)
        );
        for (with_data, check) in [(false, ByteCheck::Medium), (true, ByteCheck::Data)] {
            let cdb = Cdb::write_and_verify(range, with_data, dpo, asked);
            prop_assert_eq!(parse(cdb.as_bytes()), Command::WriteAndVerify(verify, check));
        }
        prop_assert_eq!(
            parse(Cdb::synchronize_cache(range, asked).as_bytes()),
            Command::SynchronizeCache { range, immediate: false, form }
        );
    }
}

#[test]
fn the_other_encoded_commands_parse_back() {
    assert_eq!(parse(Cdb::read_capacity_10().as_bytes()), Command::ReadCapacity10);
    assert_eq!(parse(Cdb::read_capacity_16(32).as_bytes()), Command::ReadCapacity16 { allocation: 32 });
    assert_eq!(parse(Cdb::unmap(24).as_bytes()), Command::Unmap { length: 24, anchor: false });
    assert_eq!(parse(Cdb::test_unit_ready().as_bytes()), Command::TestUnitReady);
    let Command::Inquiry(inquiry) = parse(Cdb::inquiry(Some(0x83), 255).as_bytes()) else { panic!() };
    assert_eq!((inquiry.page, inquiry.allocation), (Some(0x83), 255));
}
