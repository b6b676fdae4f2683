"""A party's secrets sealed again under the newest master key, so that an older one can retire."""
