"""The payment domain and its adapters. Runs in Lambda; never imports `lib` or cdktf."""
