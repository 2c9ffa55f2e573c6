package org.pocketfleet.state;

import java.nio.ByteBuffer;
import java.util.List;

/** A part of a reply that is to be kept until it is sent. */
public interface SavableObject {
  /** What it is asked for by: 64 hexadecimal digits. */
  String id();

  /** How many bytes it has. */
  int size();

  /** The bytes, in pieces from position to limit. */
  List<ByteBuffer> parts();
}
