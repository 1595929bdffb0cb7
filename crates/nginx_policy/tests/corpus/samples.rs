//! The files of the corpus, for the tests of this crate and for those of the deployer, which have root's nginx read them.

/// One file of the corpus: `>>> NAME | FIELD | ...`, then its text.
pub struct Sample {
    pub name: String,
    /// Of a hostile file: the line that is refused, and a part of the reason. Of an ordinary one: what nginx must have to understand it, names of
    /// modules or a version.
    pub fields: Vec<String>,
    pub text: String,
}

/// Files that must be refused.
pub fn hostile() -> Vec<Sample> {
    samples(include_str!("hostile.conf"))
}

/// Files as people write them. Those whose name begins with `snippets/` are included by others.
pub fn ordinary() -> Vec<Sample> {
    let files = [
        include_str!("ordinary/applications.conf"),
        include_str!("ordinary/modules.conf"),
        include_str!("ordinary/php.conf"),
        include_str!("ordinary/products.conf"),
        include_str!("ordinary/snippets.conf"),
        include_str!("ordinary/static.conf"),
        include_str!("ordinary/tls.conf"),
        include_str!("ordinary/traffic.conf"),
        include_str!("ordinary/variables.conf"),
    ];
    files.into_iter().flat_map(samples).collect()
}

fn samples(text: &str) -> Vec<Sample> {
    let parts = text.split(">>> ").skip(1);
    let sample = |part: &str| {
        let (head, text) = part.split_once('\n').expect("a name stands on a line of its own");
        let mut fields = head.split('|').map(|field| field.trim().to_owned());
        let name = fields.next().expect("splitting gives at least one");
        Sample { name, fields: fields.filter(|field| !field.is_empty()).collect(), text: text.to_owned() }
    };
    parts.map(sample).collect()
}

/// What nginx accepts in the file that this directive names.
pub fn key_file(directive: &str) -> Vec<u8> {
    match directive {
        name if name.contains("ticket") => vec![b'x'; 80],
        name if name.ends_with("_key") => include_bytes!("key.pem").to_vec(),
        name if name.ends_with("dhparam") => include_bytes!("dhparam.pem").to_vec(),
        name if name.ends_with("_crl") => include_bytes!("crl.pem").to_vec(),
        _ => include_bytes!("certificate.pem").to_vec(),
    }
}
