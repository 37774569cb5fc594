// PAKV_SANITIZER_ALLOCATES: 1 where a sanitizer (address, thread) has its own malloc in place of
// the system's, else 0.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAKV_SANITIZER_ALLOCATES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PAKV_SANITIZER_ALLOCATES 1
#endif
#endif
#ifndef PAKV_SANITIZER_ALLOCATES
#define PAKV_SANITIZER_ALLOCATES 0
#endif
