//! `sluice dump`: every view, for people and for programs, of a volume that was not closed, and of damaged ones.

use serde_json::Value;

use crate::{
    bench::{Bench, CHEAP, DISK},
    mapped::{PASS, encrypted, write},
};

const SECRET: &[u8] = b"nobody may see this ";

/// A block of its own, in which something stands that could be recognised.
fn block(number: u64) -> Vec<u8> {
    let mut bytes = SECRET.repeat(4096 / SECRET.len() + 1);
    bytes.truncate(4096);
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Blocks 0 to 3 are in the trees, two of them equal; block 100 is in the journal.
fn written() -> Bench {
    let bench = encrypted(&["--size", "64M"]);
    write(&bench, 0, &[block(1), block(2), block(1), block(3)].concat());
    write(&bench, 100 * 4096, &block(4));
    bench
}

fn with_key<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["dump", "image"], words, &PASS[..]].concat()
}

fn object(bench: &Bench, words: &[&str]) -> Value {
    let object = bench.ok(&with_key(words));
    assert_eq!(object["command"], "dump");
    object
}

fn list<'a>(object: &'a Value, name: &str) -> &'a Vec<Value> {
    object[name].as_array().unwrap_or_else(|| panic!("no {name}: {object}"))
}

fn text(bench: &Bench, words: &[&str]) -> String {
    let run = bench.run(&with_key(words));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
    String::from_utf8(run.stdout).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// The chunk of a block, and where it lies.
fn chunk_of(bench: &Bench, block: &str) -> (u64, u64) {
    let map = object(bench, &["map", block]);
    let line = &list(&map, "blocks")[0];
    (number(&line["chunk"]), number(&line["entry"]["address"]))
}

fn segment_of(bench: &Bench, address: u64) -> String {
    let layout = &object(bench, &["roots"])["layout"];
    ((address - number(&layout["segments_at"])) / number(&layout["segment_bytes"])).to_string()
}

#[test]
fn root_records_and_the_layout_are_shown_by_themselves() {
    let bench = written();
    let before = bench.get("image");
    let roots = object(&bench, &[]);
    assert_eq!(roots, object(&bench, &["roots"]));
    assert_eq!((roots["view"].as_str(), number(&roots["layout"]["blocks"])), (Some("roots"), 16384));
    let copies = list(&roots, "roots");
    let counts: Vec<_> = copies.iter().filter(|copy| copy["counts"] == true).collect();
    assert_eq!((copies.len(), counts.len()), (4, 2));
    assert_eq!(counts[0]["record"]["number"], roots["root"]);
    assert_eq!((number(&counts[0]["record"]["mapped"]), number(&counts[0]["record"]["chunks"])), (4, 3));
    assert!(number(&counts[0]["record"]["map"]["address"]) > 0);
    let text = text(&bench, &[]);
    assert_eq!(text.matches(": it counts").count(), 2, "{text}");
    assert!(text.contains("3 chunks, 4 blocks mapped"), "{text}");
    assert!(bench.get("image") == before, "looking has changed something");
}

#[test]
fn the_journal_says_what_opening_would_apply() {
    let bench = written();
    let journal = object(&bench, &["journal", "--records"]);
    let applies: Vec<_> = list(&journal, "frames").iter().filter(|frame| frame["applies"] == true).collect();
    assert_eq!(number(&journal["recovery"]["frames"]), applies.len() as u64);
    let records: Vec<_> = applies.iter().flat_map(|frame| list(frame, "records")).collect();
    assert_eq!(records.len(), 1, "{journal}");
    assert_eq!((&records[0]["kind"], number(&records[0]["block"])), (&Value::from("store"), 100));
    let extent = &list(applies[0], "extents")[0];
    assert_eq!(extent["data"], "good");
    let stored: u64 = list(&journal, "frames").iter().map(|frame| number(&frame["counts"]["store"])).sum();
    assert_eq!(stored, 4, "frames before the checkpoint are still there");
    let shown = text(&bench, &["journal", "--records"]);
    assert!(
        shown.contains("Frames that opening applies: 1.") && shown.contains("block 100: new chunk"),
        "{shown}"
    );
    assert!(!text(&bench, &["journal"]).contains("new chunk"));
    // Where it lies, the segment says that the trees do not know it yet.
    let segment = segment_of(&bench, number(&extent["address"]));
    let parts = object(&bench, &["segment", &segment]);
    let new = |part: &Value| part["kind"] == "extent" && part["in_journal"] == true;
    assert_eq!(list(&parts, "parts").iter().filter(|part| new(part)).count(), 1);
    assert!(text(&bench, &["segment", &segment]).contains("the journal leads here"));
}

#[test]
fn the_kept_index_is_shown_piece_by_piece() {
    let bench = written();
    let index = object(&bench, &["index"]);
    let pieces = list(&index, "pieces");
    assert_eq!(pieces.len() as u64 * 65536, number(&index["index_area_bytes"]));
    assert!(pieces.iter().all(|piece| piece["state"] == "empty" && piece["complete_for"].is_null()));
    assert_eq!(pieces[0]["address"], object(&bench, &["roots"])["layout"]["index_at"]);
    assert!(text(&bench, &["roots"]).contains(&format!("index         at {}, ", pieces[0]["address"])));
    // Compacting ends with closing.
    bench.ok(&[&["compact", "image"], &PASS[..]].concat());
    bench.damage(number(&pieces[1]["address"]) + 1000, |bytes| bytes[0] ^= 1);
    let index = object(&bench, &["index"]);
    let pieces = list(&index, "pieces");
    assert_eq!(pieces[1]["state"], "damaged");
    let good: Vec<_> = pieces.iter().filter(|piece| piece["state"] == "good").collect();
    assert_eq!(good.len(), pieces.len() - 1);
    assert!(good.iter().all(|piece| piece["complete_for"] == index["root"]), "{index}");
    let known: u64 = good.iter().map(|piece| number(&piece["entries"])).sum();
    assert!((1..=4).contains(&known), "{index}");
    let shown = text(&bench, &["index"]);
    let some = format!("{} pieces, {} of them complete", pieces.len(), good.len());
    assert!(shown.contains(&some) && shown.contains(": damaged"), "{shown}");
}

#[test]
fn a_block_is_followed_to_its_segment() {
    let bench = written();
    let map = object(&bench, &["map", "0", "200"]);
    let lines = list(&map, "blocks");
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["chunk"], lines[2]["chunk"]);
    assert_eq!((number(&lines[0]["entry"]["references"]), number(&lines[1]["entry"]["references"])), (2, 1));
    let hole = (&lines[4]["kind"], number(&lines[4]["block"]), number(&lines[4]["count"]));
    assert_eq!(hole, (&Value::from("hole"), 4, 196));
    let (chunk, address) = chunk_of(&bench, "3");
    let one = object(&bench, &["chunk", &chunk.to_string()]);
    let line = &list(&one, "chunks")[0];
    assert_eq!((&line["state"], &line["entry"]), (&Value::from("good"), &lines[3]["entry"]));
    let number_of = segment_of(&bench, address);
    let segment = object(&bench, &["segment", &number_of]);
    let parts = list(&segment, "parts");
    let item = parts.iter().find(|part| part["kind"] == "chunk" && part["address"] == address).unwrap();
    assert_eq!(
        (number(&item["chunk"]), &item["live"], &item["state"]),
        (chunk, &true.into(), &"good".into())
    );
    let segments = object(&bench, &["segments"]);
    let line = &list(&segments, "segments")[number_of.parse::<usize>().unwrap()];
    assert_eq!((&line["kind"], &line["holds"]), (&"chunks".into(), &"chunks".into()));
    let live = parts.iter().filter(|part| part["kind"] == "chunk" && part["live"] == true);
    assert_eq!(number(&line["chunk_bytes"]), live.map(|part| number(&part["bytes"])).sum::<u64>());

    assert!(text(&bench, &["map", "0", "200"]).contains("blocks 4 to 199: hole"));
    let shown = text(&bench, &["chunk", &chunk.to_string()]);
    assert!(shown.contains(&format!("chunk {chunk} at {address}, ")) && shown.contains(": good"), "{shown}");
    assert!(text(&bench, &["segment", &number_of]).contains(&format!("  {address}: chunk {chunk}, ")));
    assert!(text(&bench, &["segments"]).contains(&format!("segment {number_of} at ")));
    assert!(text(&bench, &["chunk", "99999999999"]).contains("the table has no such chunk"));
}

#[test]
fn trees_are_shown_page_by_page() {
    let bench = written();
    for (tree, levels) in [("map", 2), ("table", 3), ("space", 1)] {
        let pages = object(&bench, &["tree", tree]);
        let pages = list(&pages, "pages");
        assert_eq!((pages.len(), number(&pages[0]["level"])), (levels, levels as u64 - 1));
        assert!(pages.iter().all(|page| page["state"] == "good" && page["tree"] == tree));
        assert_eq!(list(&object(&bench, &["tree", tree, "--damaged"]), "pages").len(), 0);
        let shown = text(&bench, &["tree", tree]);
        assert!(shown.contains(&format!("{levels} pages, 0 of them not good")), "{shown}");
    }
    assert_eq!(bench.run(&with_key(&["tree", "oak"])).code, 2);
}

#[test]
fn what_is_damaged_is_named_in_its_line() {
    let bench = written();
    let (chunk, address) = chunk_of(&bench, "1");
    bench.damage(address + 5, |bytes| bytes[0] ^= 1);
    let one = object(&bench, &["chunk", &chunk.to_string()]);
    assert_eq!(list(&one, "chunks")[0]["state"], "damaged");
    let segment = object(&bench, &["segment", &segment_of(&bench, address)]);
    let bad: Vec<_> = list(&segment, "parts").iter().filter(|part| part["state"] == "damaged").collect();
    assert_eq!((bad.len(), number(&bad[0]["chunk"])), (1, chunk));
    let pages = object(&bench, &["tree", "map"]);
    let leaf = list(&pages, "pages").last().unwrap();
    bench.damage(number(&leaf["address"]), |bytes| bytes[0] ^= 1);
    let damaged = object(&bench, &["tree", "map", "--damaged"]);
    assert_eq!(list(&damaged, "pages").len(), 1);
    assert_eq!(list(&damaged, "pages")[0]["address"], leaf["address"]);
    let map = object(&bench, &["map", "0", "3"]);
    let line = &list(&map, "blocks")[0];
    assert_eq!((&line["kind"], number(&line["count"])), (&"lost".into(), 3));
    assert_eq!(line["lost"]["page"]["address"], leaf["address"]);
    assert!(text(&bench, &["map", "0"]).contains("block 0: unknown: page 0 on level 0 of the map tree"));
}

#[test]
fn a_volume_that_does_not_open_is_shown_all_the_same() {
    let bench = written();
    let (_, address) = chunk_of(&bench, "0");
    let segment = segment_of(&bench, address);
    for copy in list(&object(&bench, &["roots"]), "roots") {
        bench.damage(number(&copy["address"]) + 99, |bytes| bytes[0] ^= 1);
    }
    bench.fails(&[&["check", "image"], &PASS[..]].concat(), "volume_damaged", 5);
    let roots = object(&bench, &["roots"]);
    assert!(list(&roots, "roots").iter().all(|copy| copy["state"] == "damaged"));
    assert!(roots["root"].is_null() && roots["problem"].is_string());
    let journal = object(&bench, &["journal"]);
    assert!(journal["recovery"]["problem"].is_string() && !list(&journal, "frames").is_empty());
    let parts = object(&bench, &["segment", &segment]);
    let chunks: Vec<_> = list(&parts, "parts").iter().filter(|part| part["kind"] == "chunk").collect();
    assert!(!chunks.is_empty() && chunks.iter().all(|part| part["live"].is_null()));
    assert!(text(&bench, &["map", "0", "9"]).contains("blocks 0 to 8: unknown: nothing leads to the trees"));
    assert!(text(&bench, &["tree", "map"]).contains("0 pages"));
}

#[test]
fn a_frame_that_recovery_misses_is_told() {
    let bench = written();
    write(&bench, 101 * 4096, &block(5));
    let frames = object(&bench, &["journal"]);
    let frame = list(&frames, "frames").iter().find(|frame| frame["applies"] == true).unwrap();
    bench.damage(number(&frame["address"]) + 70, |bytes| bytes[0] ^= 1);
    let journal = object(&bench, &["journal"]);
    let now = list(&journal, "frames").iter().find(|one| one["address"] == frame["address"]).unwrap();
    assert_eq!((&now["whole"], &now["applies"]), (&false.into(), &false.into()));
    assert!(text(&bench, &["journal"]).contains("not whole"));
}

#[test]
fn neither_keys_nor_plaintext_are_shown_and_nothing_is_changed() {
    let bench = written();
    let before = bench.get("image");
    let (_, address) = chunk_of(&bench, "0");
    let segment = segment_of(&bench, address);
    let views: [&[&str]; 10] = [
        &["index"],
        &["roots"],
        &["journal", "--records"],
        &["segments"],
        &["segment", &segment],
        &["map", "0", "200"],
        &["chunk", "0"],
        &["tree", "map"],
        &["tree", "table"],
        &["tree", "space"],
    ];
    for view in views {
        for more in [&[][..], &["--json"]] {
            let run = bench.run(&[&with_key(view)[..], more].concat());
            assert_eq!(run.code, 0, "{view:?}: {}", run.stderr);
            assert!(!run.stdout.windows(SECRET.len()).any(|window| window == SECRET), "{view:?}");
        }
    }
    assert!(bench.get("image") == before, "looking has changed something");
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let bench = written();
    bench.fails(&with_key(&["map", "16384"]), "range", 2);
    bench.fails(&with_key(&["segment", "476"]), "range", 2);
    bench.fails(&["dump", "image", "roots", "--passphrase-file", "wrong"], "no_key_fits", 3);
    assert_eq!(
        bench.run(&["dump", "image", "roots", "--passphrase-file", "pass", "--key-file", "pass"]).code,
        2
    );
    // The key may also be named before the view.
    bench.ok(&[&["dump", "image"], &PASS[..], &["map", "0"]].concat());
    bench.blank("other", DISK);
    bench.ok(&[&["format", "other"], &PASS, &CHEAP[..]].concat());
    bench.fails(&[&["dump", "other"], &PASS[..]].concat(), "not_mapped", 1);
}
