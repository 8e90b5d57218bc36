//! The tags of headers that are read, as `rpmtag.h` numbers them.

use super::error::RpmError;

/// A tag: its number, and rpm's name of it for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    number: u32,
    name: &'static str,
}

impl Tag {
    #[cfg(test)]
    pub(super) const fn new(number: u32, name: &'static str) -> Self {
        Self { number, name }
    }

    pub(super) const fn number(self) -> u32 {
        self.number
    }

    /// What is wrong with the tag's value.
    pub(super) fn fault(self, why: impl Into<String>) -> RpmError {
        RpmError::Field { field: self.name, why: why.into() }
    }
}

macro_rules! tags {
    ($($constant:ident $number:literal $name:literal)*) => {
        $(pub(super) const $constant: Tag = Tag { number: $number, name: $name };)*
    };
}

tags! {
    SIGNATURE_OTHER 267 "Dsaheader"
    SIGNATURE_RSA 268 "Rsaheader"
    NAME 1000 "Name"
    VERSION 1001 "Version"
    RELEASE 1002 "Release"
    EPOCH 1003 "Epoch"
    ARCHITECTURE 1022 "Arch"
    SOURCE 1044 "Sourcerpm"
    FILE_SIZES 1028 "Filesizes"
    FILE_MODES 1030 "Filemodes"
    FILE_DEVICES 1033 "Filerdevs"
    FILE_DIGESTS 1035 "Filedigests"
    FILE_LINKS 1036 "Filelinktos"
    FILE_FLAGS 1037 "Fileflags"
    FILE_USERS 1039 "Fileusername"
    FILE_GROUPS 1040 "Filegroupname"
    FILE_FILESYSTEMS 1095 "Filedevices"
    FILE_INODES 1096 "Fileinodes"
    FOLDER_INDEXES 1116 "Dirindexes"
    BASE_NAMES 1117 "Basenames"
    FOLDER_NAMES 1118 "Dirnames"
    OLD_NAMES 1027 "Oldfilenames"
    LONG_FILE_SIZES 5008 "Longfilesizes"
    FILE_CAPABILITIES 5010 "Filecaps"
    FILE_DIGEST_ALGORITHM 5011 "Filedigestalgo"
    PAYLOAD_FORMAT 1124 "Payloadformat"
    PAYLOAD_COMPRESSOR 1125 "Payloadcompressor"
    PAYLOAD_DIGEST 5092 "Payloaddigest"
    PAYLOAD_DIGEST_ALGORITHM 5093 "Payloaddigestalgo"
    PROVIDE_NAMES 1047 "Providename"
    PROVIDE_FLAGS 1112 "Provideflags"
    PROVIDE_VERSIONS 1113 "Provideversion"
    REQUIRE_FLAGS 1048 "Requireflags"
    REQUIRE_NAMES 1049 "Requirename"
    REQUIRE_VERSIONS 1050 "Requireversion"
    CONFLICT_FLAGS 1053 "Conflictflags"
    CONFLICT_NAMES 1054 "Conflictname"
    CONFLICT_VERSIONS 1055 "Conflictversion"
    OBSOLETE_NAMES 1090 "Obsoletename"
    OBSOLETE_FLAGS 1114 "Obsoleteflags"
    OBSOLETE_VERSIONS 1115 "Obsoleteversion"
    PRE 1023 "Prein"
    POST 1024 "Postin"
    PREUN 1025 "Preun"
    POSTUN 1026 "Postun"
    VERIFY 1079 "Verifyscript"
    PRE_PROGRAM 1085 "Preinprog"
    POST_PROGRAM 1086 "Postinprog"
    PREUN_PROGRAM 1087 "Preunprog"
    POSTUN_PROGRAM 1088 "Postunprog"
    VERIFY_PROGRAM 1091 "Verifyscriptprog"
    PRETRANS 1151 "Pretrans"
    POSTTRANS 1152 "Posttrans"
    PRETRANS_PROGRAM 1153 "Pretransprog"
    POSTTRANS_PROGRAM 1154 "Posttransprog"
    PREUNTRANS 5104 "Preuntrans"
    POSTUNTRANS 5105 "Postuntrans"
    PREUNTRANS_PROGRAM 5106 "Preuntransprog"
    POSTUNTRANS_PROGRAM 5107 "Postuntransprog"
    PRE_FLAGS 5020 "Preinflags"
    POST_FLAGS 5021 "Postinflags"
    PREUN_FLAGS 5022 "Preunflags"
    POSTUN_FLAGS 5023 "Postunflags"
    PRETRANS_FLAGS 5024 "Pretransflags"
    POSTTRANS_FLAGS 5025 "Posttransflags"
    VERIFY_FLAGS 5026 "Verifyscriptflags"
    PREUNTRANS_FLAGS 5108 "Preuntransflags"
    POSTUNTRANS_FLAGS 5109 "Postuntransflags"
    TRIGGER_SCRIPTS 1065 "Triggerscripts"
    TRIGGER_NAMES 1066 "Triggername"
    TRIGGER_VERSIONS 1067 "Triggerversion"
    TRIGGER_FLAGS 1068 "Triggerflags"
    TRIGGER_INDEXES 1069 "Triggerindex"
    TRIGGER_PROGRAMS 1092 "Triggerscriptprog"
    FILE_TRIGGER_SCRIPTS 5066 "Filetriggerscripts"
    FILE_TRIGGER_PROGRAMS 5067 "Filetriggerscriptprog"
    FILE_TRIGGER_NAMES 5069 "Filetriggername"
    FILE_TRIGGER_INDEXES 5070 "Filetriggerindex"
    FILE_TRIGGER_VERSIONS 5071 "Filetriggerversion"
    FILE_TRIGGER_FLAGS 5072 "Filetriggerflags"
    TRANSACTION_TRIGGER_SCRIPTS 5076 "Transfiletriggerscripts"
    TRANSACTION_TRIGGER_PROGRAMS 5077 "Transfiletriggerscriptprog"
    TRANSACTION_TRIGGER_NAMES 5079 "Transfiletriggername"
    TRANSACTION_TRIGGER_INDEXES 5080 "Transfiletriggerindex"
    TRANSACTION_TRIGGER_VERSIONS 5081 "Transfiletriggerversion"
    TRANSACTION_TRIGGER_FLAGS 5082 "Transfiletriggerflags"
}
