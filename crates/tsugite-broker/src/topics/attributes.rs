//! The message attributes of a publish, and what is wrong with them in the words of SNS.

use tsugite_base::limits;

use super::error::MessageAttributeInvalid;
use crate::message::{AttributeValue, MessageAttribute, find_forbidden, is_number};

/// Checks names, types and values; there may be any number of them.
pub(super) fn check(attributes: &[MessageAttribute]) -> Result<(), MessageAttributeInvalid> {
    for (i, attribute) in attributes.iter().enumerate() {
        let name = &attribute.name;
        let twice = attributes[..i].iter().any(|a| a.name == *name);
        let wrong = name_fault(name)
            .or_else(|| twice.then(|| format!("The message attribute name '{name}' is given twice.")))
            .or_else(|| fault(attribute));
        if let Some(text) = wrong {
            return Err(MessageAttributeInvalid { text });
        }
    }
    Ok(())
}

fn name_fault(name: &str) -> Option<String> {
    let reserved = |prefix: &str| {
        let head = name.get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    // Letters and digits of any script, as in queues.
    let strange = |c: &char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let text = if name.is_empty() {
        "Message attribute name can not be empty.".to_owned()
    } else if name.len() > limits::MESSAGE_ATTRIBUTE_NAME_CHARS {
        "Length of message attribute name must be less than 256 bytes.".to_owned()
    } else if name.starts_with('.') {
        "Invalid message attribute name starting with character '.' was found.".to_owned()
    } else if name.ends_with('.') {
        "Invalid message attribute name ending with character '.' was found.".to_owned()
    } else if let Some(c) = name.chars().find(strange) {
        format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message attribute name. Can only include \
             alphanumeric characters, hyphens, underscores, or dots.",
            u32::from(c)
        )
    } else if name.contains("..") {
        "Message attribute name can not have successive '.' character.".to_owned()
    } else if reserved("aws.") || reserved("amazon.") {
        format!("Message attribute name '{name}' starts with aws. or amazon., which are reserved.")
    } else {
        return None;
    };
    Some(text)
}

fn fault(attribute: &MessageAttribute) -> Option<String> {
    let MessageAttribute {
        name,
        data_type,
        value,
    } = attribute;
    let (base, label) = match data_type.split_once('.') {
        Some((base, label)) => (base, Some(label)),
        None => (data_type.as_str(), None),
    };
    let field = match base {
        "String" | "Number" => "String",
        "Binary" => "Binary",
        _ => "",
    };
    let too_long = data_type.len() > limits::MESSAGE_ATTRIBUTE_NAME_CHARS;
    if field.is_empty() || label == Some("") || too_long {
        return Some(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is \
             Binary, Number, and String."
        ));
    }
    if value.as_bytes().is_empty() {
        return Some(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute type \
             '{data_type}'."
        ));
    }
    match (field, value) {
        ("Binary", AttributeValue::Binary(_)) => None,
        ("String", AttributeValue::Text(text)) => text_fault(name, base, label, text),
        _ => Some(format!(
            "The message attribute '{name}' with type '{data_type}' must use field '{field}'."
        )),
    }
}

fn text_fault(name: &str, base: &str, label: Option<&str>, text: &str) -> Option<String> {
    if base == "Number" {
        let wrong = || format!("Could not cast message attribute '{name}' value to number.");
        return (!is_number(text)).then(wrong);
    }
    if find_forbidden(text).is_some() {
        return Some(format!(
            "The message attribute '{name}' holds a character that may not be sent."
        ));
    }
    if label == Some("Array") && !is_array(text) {
        return Some(format!(
            "The message attribute '{name}' with type 'String.Array' must be a JSON array of strings, numbers, booleans or \
             null."
        ));
    }
    None
}

fn is_array(text: &str) -> bool {
    let scalars = |v: &Vec<serde_json::Value>| v.iter().all(|v| !v.is_array() && !v.is_object());
    matches!(serde_json::from_str(text), Ok(serde_json::Value::Array(items)) if scalars(&items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, data_type: &str, value: &str) -> MessageAttribute {
        let (name, data_type) = (name.to_owned(), data_type.to_owned());
        let value = AttributeValue::Text(value.to_owned());
        MessageAttribute {
            name,
            data_type,
            value,
        }
    }

    fn wrong(attribute: MessageAttribute) -> String {
        check(&[attribute]).err().map_or_else(String::new, |e| e.text)
    }

    #[test]
    fn names() {
        for (name, part) in [
            ("a.b-c_9", ""),
            ("é", ""),
            ("", "can not be empty"),
            (&"a".repeat(257), "less than 256 bytes"),
            (".a", "starting with character '.'"),
            ("a.", "ending with character '.'"),
            ("a^b", "'#x5E'"),
            ("a..b", "successive '.'"),
            ("AWS.x", "reserved"),
        ] {
            let why = wrong(text(name, "String", "x"));
            assert_eq!(why.is_empty(), part.is_empty(), "{name}: {why}");
            assert!(why.contains(part), "{name}: {why}");
        }
        let twice = [text("a", "String", "x"), text("a", "String", "x")];
        assert!(check(&twice).is_err());
    }

    #[test]
    fn types_and_values() {
        for (data_type, value, part) in [
            ("String", "x", ""),
            ("String.label", "x", ""),
            ("String.Array", "[\"a\",1,null,true]", ""),
            ("String.Array", "[[1]]", "JSON array"),
            ("String.Array", "x", "JSON array"),
            ("Number", "-1.5e3", ""),
            ("Number", "x", "value to number"),
            (
                "String",
                "",
                "non-empty message attribute value for message attribute type 'String'",
            ),
            ("Binary", "", "type 'Binary'"),
            ("Binary", "x", "must use field 'Binary'"),
            ("String.", "x", "supported type prefixes"),
            ("Stringly", "x", "supported type prefixes"),
            ("string", "x", "supported type prefixes"),
            ("String", "\u{1}", "may not be sent"),
        ] {
            let why = wrong(text("a", data_type, value));
            assert_eq!(why.is_empty(), part.is_empty(), "{data_type} {value}: {why}");
            assert!(why.contains(part), "{data_type} {value}: {why}");
        }
        let bytes = |data_type: &str| MessageAttribute {
            value: AttributeValue::Binary(vec![0]),
            ..text("a", data_type, "")
        };
        assert_eq!(wrong(bytes("Binary.gif")), "");
        assert!(wrong(bytes("Number")).contains("with type 'Number' must use field 'String'"));
    }
}
