//! Text on its way into the database and out of it.

use serde::Serialize as _;
use std::borrow::Cow;

/// A word in the database that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("{word:?} is not a {kind}")]
pub struct UnknownWord {
    pub(super) kind: &'static str,
    pub(super) word: String,
}

/// An enum that is one fixed word per variant wherever it is written: in the database, in JSON, for people. A variant that was renamed
/// keeps the stored word, which older programs read and which is signed, and people see the word after `shown`. Words after `or` were
/// stored by older programs; they are read and never written.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $kind:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(or $old:literal)* $(shown $shown:literal)?,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of their definition.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it, as it is stored.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The word for it that people see.
            pub fn shown(self) -> &'static str {
                $($(if self == Self::$variant {
                    return $shown;
                })?)+
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.shown())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::store::text::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word $(| $old)* => Ok(Self::$variant),)+
                    _ => Err($crate::store::text::UnknownWord { kind: $kind, word: word.to_owned() }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(<D::Error as serde::de::Error>::custom)
            }
        }

        impl<D: sqlx::Database> sqlx::Type<D> for $name
        where
            str: sqlx::Type<D>,
        {
            fn type_info() -> D::TypeInfo {
                <str as sqlx::Type<D>>::type_info()
            }
            fn compatible(column: &D::TypeInfo) -> bool {
                <str as sqlx::Type<D>>::compatible(column)
            }
        }

        impl<'q, D: sqlx::Database> sqlx::Encode<'q, D> for $name
        where
            &'static str: sqlx::Encode<'q, D>,
        {
            fn encode_by_ref(
                &self,
                buffer: &mut D::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                sqlx::Encode::<D>::encode(self.as_str(), buffer)
            }
        }

        impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for $name
        where
            &'r str: sqlx::Decode<'r, D>,
        {
            fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                Ok(<&'r str as sqlx::Decode<'r, D>>::decode(value)?.parse()?)
            }
        }
    };
}
pub(super) use words;

/// Text that both databases take: PostgreSQL refuses U+0000, and what programs print can hold it.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// What a row keeps of a text that came from outside, in characters: longer than any that is read where a delivery is received.
const CHARS_MAX: usize = 4096;

/// Text of others that both databases take, and no longer than [`CHARS_MAX`]: what is longer is cut.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(end, _)| end);
    storable(&text[..end])
}

/// Serialises JSON text as the JSON that it is; what is not JSON, as a string.
pub(super) fn embedded_json<S: serde::Serializer>(
    text: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match text {
        None => serializer.serialize_none(),
        Some(text) => match serde_json::from_str::<&serde_json::value::RawValue>(text) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Certainty, Direction, FaultClass, Gate, ReleaseState, RunState, RunTrigger, StepState, VerdictCode,
    };
    use super::{CHARS_MAX, bounded};

    #[test]
    fn every_word_is_read_back_as_what_it_was_written_for() {
        macro_rules! check {
            ($($words:ident),+) => {$(
                for word in $words::ALL {
                    assert_eq!(word.as_str().parse::<$words>().unwrap(), *word);
                    let json = format!("\"{}\"", word.as_str());
                    assert_eq!(serde_json::to_string(word).unwrap(), json);
                    assert_eq!(serde_json::from_str::<$words>(&json).unwrap(), *word);
                }
                assert!("nonsense".parse::<$words>().is_err());
            )+};
        }
        check!(
            Certainty,
            Direction,
            FaultClass,
            Gate,
            ReleaseState,
            RunState,
            RunTrigger,
            StepState,
            VerdictCode
        );
    }

    #[test]
    fn texts_of_others_are_cut_between_characters() {
        assert_eq!(bounded("a\0b"), "a\u{fffd}b");
        let long = "\u{e9}".repeat(CHARS_MAX);
        assert_eq!(bounded(&long), long);
        assert_eq!(bounded(&format!("{long}x")), long);
    }

    #[test]
    fn only_what_waits_is_not_final() {
        assert!(VerdictCode::ALL.iter().all(|code| code.is_final() != (*code == VerdictCode::Queued)));
        let unfinished: Vec<_> = RunState::ALL.iter().filter(|state| !state.is_final()).collect();
        assert_eq!(unfinished, [&RunState::Queued, &RunState::Running, &RunState::Unknown]);
    }
}
