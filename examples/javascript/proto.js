// The kitchen's gRPC service, made from its .proto file.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const file = fileURLToPath(new URL("../proto/kitchen.proto", import.meta.url));
export const { Kitchen } = grpc.loadPackageDefinition(protoLoader.loadSync(file)).tsugite.demo.v1;
