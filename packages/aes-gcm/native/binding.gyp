{
  "targets": [
    {
      "target_name": "aes_gcm",
      "sources": ["aes-gcm.c"],
      "defines": ["NAPI_VERSION=9"],
      "cflags": ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"]
    }
  ]
}
