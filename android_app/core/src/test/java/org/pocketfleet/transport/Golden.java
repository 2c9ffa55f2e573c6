package org.pocketfleet.transport;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.InflaterInputStream;
import org.pocketfleet.Hex;

/**
 * Messages as the Python client's code writes them: dense/kernel (2x3 floats 0..5), dense/bias and
 * other/bias (zeros), and a config with one value of each type and a list. Each is its objects,
 * children first, each after its length, all deflated.
 */
final class Golden {
  static final String NAMED_ROOT =
      "57927da541f2b4215b49faabeb567d68dc73ec96ba4a42a43658c30d334f4c39";
  static final String NAMED =
      "eNqtlM+rHEUQx2dfnmLGRGSPnpq9rMo+rf7dHYQoES8SEcGDSAjV3dXvLVlnHzP7Ao8YyNmrV4Uc"
          + "PfsX+Z9o9TwNeBKy9kwPM0V1zbc+Vd1d1/322Tji9YOLq+GJENKq7uevvn349XeL7mn3bF1oyuP6"
          + "nlh/Us16I9Z1Px5GHB7vx0LN/gXuJmL7dIGXxN/vq43QH2zEc/Hao+/m8eI+Pz7lm+cLni95di9n"
          + "rUJJB0qTlUnlQliiBGUTaJTJeIxFKpOLMUpDhYLOeJcKQlJKFwNIRQTXPVuVw/Ulre6JVd3t8aDV"
          + "aiNWcx5s+77l8agZ/nEarn64vP5oKNgUNNf5JTdsj7dlamvg0XPW+Mu/eBo4jqfeHEfzFc9X49cb"
          + "htJYSFVRlIjktLO1xIS6WmdL9qgAdfBRO8+Ea0BliZRzURYfdOCFIuj/Yvh6ABc/zQK/ocxQRAH0"
          + "UVlQIKWtriRfYg5oqpVZO82l9aCTVJqdQooFXMSA0cRoDUWPG0vZqBotoa8qZ1elNkUWSCVlgIzc"
          + "F84aJzVx9KgjuhQkJev4L8VbK5QJLVEaJvr4CY0D7Vo2x+pqAG5ipi225FfHCm0R94cLGv+/iK2d"
          + "f3ywH+r2/O9yCAmu65f9nYnGpzSejfuroSxP3n2rf6+/uyMch+1wfjbigZa3b9/02x/3+7v9rXx1"
          + "WL754ekF79b+7f6Nuh1wtzwRi/5Of5p2+7Q8VSfdn/07/eluO7Hr74tb/eKEu+Hs5s+fb/NB1Fwx"
          + "uhyNdNlmTFY5G2PNipo5aAjJSeOMlNoGyY1cnM1JW27sBDH5DUbLNZAWlUIADSWiT9kFAHCVzwiZ"
          + "SXuGZnUJhlEkKxU4zWa+ECSfj+3kmDt3Rnysola0PANu0Y6VNxfsy4c0TXhOIkg0sUTetCgBgVy0"
          + "4FMN2bBa672yvPG9IQXepKCNBM8npE0FolIARUD3F1ZwlsU=";
  static final String PACKED_ROOT =
      "c51f07fd627c66190febc3bf9dc178ab6a07bb8a5c7257e9fb4c5cf8f26950a0";
  static final String PACKED =
      "eNqlU81q1FAUzkxHsdGKzNLVJZtRSfX+597ZtFLpRioiuJAylPtzbjt0zJQkUyjtQB9BcC0IvoFP"
          + "4WP4JnqTaV3ZhfYkJ+ScnJ8v5zs3SXqfXlaVOds5WpTHCDHFk89v3u+9/dBLTpPzkYfaVaMxGl0s"
          + "yChHozCvmsqUB/PKQ+vfNbMaor8+MicQ7SdUyPxpjpbovyX9kazkPPNQ1vDiGKoSZtk42s3ZCWTj"
          + "bJfRLM+6ntl4n+ZskmfeNOZgHkINTR2dOKd8ssyvStipqW8u8Jd0ynMm2/x5cwTVv+czmXM1WXZj"
          + "WP3N5VZ8bMc76mXUr9vJzfKl4wTxgjAvoMDKGmsxuGCwwAQLyoK2iujCMU2I194oJTkOWgYqoSAF"
          + "0KIgBCmW/AGNssW0bFSWo2vgaD+yNWnt64hy8fHk7HnpTdu+jexeXLsbB1Nftyl4sowAv3UA34GL"
          + "i4CcZFh54D5wsAEcFTwABGo04YFBoXAI7WcdwVPvsCGcSlUQxZVUjIsVzNoEaCJb86rtk922aNbC"
          + "vNiZl2F6eIUTESyTdJg+qKE6hWqzmi9KP+w/upc+TjdmYKpyWh5uVqaB4fr6ioifW+lGuuYWzfDu"
          + "s8ERGJ/eT++EaWlmwz7qpQ/SgZ3N7XBA+8mv9GE6mE3rGPq9t5b2+knS21x1fjV1DfLCMVsAeOlp"
          + "AcFaoIpQ8A68Vk7LljNhKA+Yc2WMkFhwYbW1RBDuPM6NFkZzEmOowZhhr01hnVQYYxmsN8QBKxyn"
          + "gnnFCVgrCMWSRXe8DCaICBnn3FHajfi2iNoFcd2A22q3hdcR9noP6tocAnKCWoM1F67AGhsN0gYM"
          + "AbD1gcaT4GMvSZhVKqrF2hof18PaQmsPLAiEk9+3hkrD";

  private Golden() {}

  /** The objects of a message by id. */
  static Map<String, byte[]> objects(String golden) throws IOException {
    byte[] deflated = Base64.getDecoder().decode(golden);
    Map<String, byte[]> objects = new LinkedHashMap<>();
    try (DataInputStream in =
        new DataInputStream(new InflaterInputStream(new ByteArrayInputStream(deflated)))) {
      for (int first = in.read(); first >= 0; first = in.read()) {
        int length = (first << 24) | (in.read() << 16) | in.readUnsignedShort();
        byte[] content = new byte[length];
        in.readFully(content);
        objects.put(Hex.sha256(ByteBuffer.wrap(content)), content);
      }
    }
    return objects;
  }
}
