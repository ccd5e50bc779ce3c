use super::*;
use jiff::civil::date;
#[test]
fn smoke() {
    let mut conn = Connection::open_in_memory().unwrap();
    create_schema(&conn).unwrap();
    conn.execute("INSERT INTO contacts VALUES (1,'a@b.co','73301','1960-06-15','2020-06-15','TX','1','active')", []).unwrap();
    let config = ModelConfig::default();
    let p = plan(&conn, date(2025, 3, 1), &config);
    println!("{p:#?}\n{}", config.to_yaml());
    apply(&mut conn, &p, "r").unwrap();
    let p = plan(&conn, date(2025, 3, 1), &config);
    assert!(p.rows.iter().all(|r| r.unchanged));
}
