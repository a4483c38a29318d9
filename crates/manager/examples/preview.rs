//! Serves all pages with samples on them, on port 4299. `/sample/calm`, `new`, `hundred` and `evening` choose one.

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4299").await?;
    println!("look at http://{}/", listener.local_addr()?);
    axum::serve(listener, cairn_manager::preview()).await?;
    Ok(())
}
