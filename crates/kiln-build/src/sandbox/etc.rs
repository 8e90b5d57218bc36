//! The files of `/etc` that are the same in every sandbox, whatever the environment's own say.

/// Paths and contents.
pub(super) const FILES: [(&str, &str); 7] = [
    (
        "passwd",
        "root:x:0:0:root:/:/bin/sh\n\
         build:x:1000:1000:build:/build:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("group", "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost kiln\n::1 localhost kiln\n"),
    ("hostname", "kiln\n"),
    ("host.conf", "multi on\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"),
    ("resolv.conf", ""),
];
