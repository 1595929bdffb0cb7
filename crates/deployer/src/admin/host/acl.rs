//! Access control lists of files, as the kernel gives them: the extended attributes `system.posix_acl_access` and
//! `system.posix_acl_default` (version 2: a number of 32 bits, then entries of tag, permissions and id, little-endian). Pure.

/// The attribute of a directory that says which list new files in it get.
pub const DEFAULT: &str = "system.posix_acl_default";

/// The attribute of a file that says who may do what with it.
pub const ACCESS: &str = "system.posix_acl_access";

const TAG_OWNER: u16 = 0x01;
/// The file's own group, as opposed to one that is named.
const TAG_GROUP: u16 = 0x04;
/// A user who is named, as opposed to the owner.
const TAG_USER: u16 = 0x02;
/// What named users and groups may have at most.
const TAG_MASK: u16 = 0x10;

const READ_WRITE: u16 = 0o6;
const READ: u16 = 0o4;

/// Whether a list gives this user reading and writing by name, mask considered. None: it is no list.
pub fn lets_write(attribute: &[u8], uid: u32) -> Option<bool> {
    let entries = entries(attribute)?;
    let mask =
        entries.iter().find(|(tag, ..)| *tag == TAG_MASK).map_or(0o7, |(_, permissions, _)| *permissions);
    let named = entries.iter().find(|(tag, _, id)| *tag == TAG_USER && *id == uid);
    Some(named.is_some_and(|(_, permissions, _)| permissions & mask & READ_WRITE == READ_WRITE))
}

/// What the file's own group may do, whatever the mask leaves of it. None: it is no list.
pub fn of_group(attribute: &[u8]) -> Option<u16> {
    entries(attribute)?
        .into_iter()
        .find(|(tag, ..)| *tag == TAG_GROUP)
        .map(|(_, permissions, _)| permissions & 0o7)
}

/// Whether a list lets these users read, beside the owner, and nobody do anything else. None: it is no list.
pub fn lets_only_read(attribute: &[u8], uids: &[u32]) -> Option<bool> {
    let entries = entries(attribute)?;
    let is_harmless = |(tag, permissions, id): &(u16, u16, u32)| match *tag {
        TAG_OWNER | TAG_MASK => true,
        TAG_USER if uids.contains(id) => permissions & !READ == 0,
        _ => *permissions == 0,
    };
    Some(entries.iter().all(is_harmless))
}

/// Tag, permissions and id of each entry.
fn entries(attribute: &[u8]) -> Option<Vec<(u16, u16, u32)>> {
    let (version, entries) = attribute.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != 2 || entries.len() % 8 != 0 {
        return None;
    }
    let read = entries.chunks_exact(8).map(|entry| {
        let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        (half(0), half(2), u32::from(half(4)) | u32::from(half(6)) << 16)
    });
    Some(read.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_secret_may_be_read_by_its_deployments_user_alone() {
        let any = u32::MAX;
        let (owner, mask) = ((TAG_OWNER, 6, any), (TAG_MASK, 4, any));
        let (group, other) = ((TAG_GROUP, 0, any), (0x20, 0, any));
        for (entries, expected) in [
            (&[owner, (TAG_USER, 4, 998), group, mask, other][..], true),
            (&[owner, (TAG_USER, 6, 998), group, mask, other], false),
            (&[owner, (TAG_USER, 4, 998), (TAG_USER, 4, 33), group, mask, other], false),
            (&[owner, (TAG_USER, 4, 998), (TAG_GROUP, 4, any), mask, other], false),
            (&[owner, (TAG_USER, 4, 998), group, (0x08, 4, 33), mask, other], false),
            (&[owner, (TAG_USER, 4, 998), group, mask, (0x20, 4, any)], false),
        ] {
            let list = list(entries);
            assert_eq!(lets_only_read(&list, &[998]), Some(expected), "{entries:?}");
            assert_eq!(
                of_group(&list),
                entries.iter().find(|(tag, ..)| *tag == TAG_GROUP).map(|entry| entry.1)
            );
        }
        assert_eq!(lets_only_read(b"", &[998]), None);
    }

    #[test]
    fn a_named_user_may_what_the_mask_leaves() {
        let any = u32::MAX;
        let owner = (0x01, 7, any);
        for (entries, expected) in [
            (&[owner, (TAG_USER, 6, 998), (TAG_MASK, 7, any)][..], true),
            (&[owner, (TAG_USER, 7, 998)], true),
            (&[owner, (TAG_USER, 4, 998), (TAG_MASK, 7, any)], false),
            (&[owner, (TAG_USER, 6, 998), (TAG_MASK, 5, any)], false),
            (&[owner, (TAG_USER, 6, 70_534), (TAG_MASK, 7, any)], false),
            (&[owner], false),
        ] {
            assert_eq!(lets_write(&list(entries), 998), Some(expected), "{entries:?}");
        }
        for no_list in [&b""[..], b"\x02\0\0", b"\x01\0\0\0", b"\x02\0\0\0\x01"] {
            assert_eq!(lets_write(no_list, 998), None);
        }
    }
}
