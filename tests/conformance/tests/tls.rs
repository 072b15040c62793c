//! A volume served by TLS: to those who know the certificate, and to nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output},
};

use sluice_conformance::{Bench, KINDS, run};

/// A folder with an authority of its own and a certificate for this machine.
fn certificates(bench: &Bench, name: &str) {
    let folder = bench.path(name);
    fs::create_dir(&folder).unwrap();
    bench.fill(&format!("{name}/names"), b"subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    let openssl = |line: &str| {
        run(Command::new("openssl").args(line.split(' ')).current_dir(&folder));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -days 2 -subj /CN=authority -keyout ca-key.pem -out ca-cert.pem"));
    openssl(&format!("req {new} -subj /CN=localhost -keyout server-key.pem -out request"));
    openssl(
        "x509 -req -in request -days 2 -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -extfile names -out server-cert.pem",
    );
}

/// What nbdinfo makes of a server, with the certificates of a folder.
fn nbdinfo(bench: &Bench, scheme: &str, port: u16, certificates: &str) -> Output {
    let folder = bench.path(certificates);
    let uri = format!("{scheme}://localhost:{port}/?tls-certificates={}", folder.display());
    Command::new("nbdinfo").arg("--size").arg(uri.trim_end_matches('?')).output().unwrap()
}

#[test]
fn who_does_not_know_the_certificate_gets_nothing() {
    for kind in KINDS {
        let bench = Bench::new("tls", kind, 64);
        certificates(&bench, "right");
        certificates(&bench, "wrong");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = bench.path("right").display().to_string();
        let server = bench.serve_on(&["--port", &port.to_string(), "--tls", &folder]);
        assert_eq!(server.uri(), format!("nbds://127.0.0.1:{port}"));
        let found = nbdinfo(&bench, "nbds", port, "right");
        assert!(found.status.success(), "{found:?}");
        let wrong = nbdinfo(&bench, "nbds", port, "wrong");
        assert!(
            !wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("certificate"),
            "{wrong:?}"
        );
        let plain = Command::new("nbdinfo").arg(format!("nbd://localhost:{port}")).output().unwrap();
        assert!(
            !plain.status.success() && String::from_utf8_lossy(&plain.stderr).contains("opt_go"),
            "{plain:?}"
        );
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(5 << 20).collect();
        bench.fill("plain", &noise);
        let uri = format!("nbds://localhost:{port}/?tls-certificates={folder}");
        run(Command::new("nbdcopy").arg("--flush").arg(bench.path("plain")).arg(uri));
        server.stop();
        assert!(bench.cat(5 << 20) == noise);
    }
}
